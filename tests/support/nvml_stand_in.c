/* A stand-in for libnvidia-ml.so.1 whose GPUs draw what the test knows.
 *
 * OVERT_TEST_GPUS has one GPU after the other, with a newline between them, each of words with a space between
 * them: name=A100 uuid=GPU-1 watts=100 swing=50 period=0.5 ... A GPU draws watts + swing * sin(2 pi t / period),
 * t seconds after nvmlInit, which takes begins_in seconds of the first GPU, as nvmlShutdown ends_in; its counter is the integral of that. Without the variable there is no driver.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, BAD = 2, UNSUPPORTED = 3, DENIED = 4, NO_DRIVER = 9, LOST = 15, UNKNOWN = 999 };

typedef struct {
    char name[64], uuid[64], instance[64];
    double watts, swing, period, lost_at, reset_at, hangs_at, begins_in, ends_in;
    int denied, no_power, no_counter, stuck, flaky, calls, has_hung;
} Gpu;

static Gpu gpus[16];
static int count;
static struct timespec began;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (t.tv_sec - began.tv_sec) + (t.tv_nsec - began.tv_nsec) / 1e9;
}

static void set(Gpu *gpu, const char *name, const char *value) {
    if (!strcmp(name, "name")) snprintf(gpu->name, 64, "NVIDIA %s", value);
    if (!strcmp(name, "uuid")) snprintf(gpu->uuid, 64, "%s", value);
    if (!strcmp(name, "instance")) snprintf(gpu->instance, 64, "%s", value);
    if (!strcmp(name, "watts")) gpu->watts = atof(value);
    if (!strcmp(name, "swing")) gpu->swing = atof(value);
    if (!strcmp(name, "period")) gpu->period = atof(value);
    if (!strcmp(name, "lost_at")) gpu->lost_at = atof(value);
    if (!strcmp(name, "reset_at")) gpu->reset_at = atof(value);
    if (!strcmp(name, "hangs_at")) gpu->hangs_at = atof(value);
    if (!strcmp(name, "begins_in")) gpu->begins_in = atof(value);
    if (!strcmp(name, "ends_in")) gpu->ends_in = atof(value);
    if (!strcmp(name, "denied")) gpu->denied = atoi(value);
    if (!strcmp(name, "no_power")) gpu->no_power = atoi(value);
    if (!strcmp(name, "no_counter")) gpu->no_counter = atoi(value);
    if (!strcmp(name, "stuck")) gpu->stuck = atoi(value);
    if (!strcmp(name, "flaky")) gpu->flaky = atoi(value);
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    const char *said = getenv("OVERT_TEST_GPUS");
    if (!said) return NO_DRIVER;
    char *text = strdup(said), *rows, *row, *words, *word;
    count = 0;
    memset(gpus, 0, sizeof gpus);
    for (row = strtok_r(text, "\n", &rows); row; row = strtok_r(NULL, "\n", &rows)) {
        Gpu *gpu = &gpus[count++];
        gpu->period = 1;
        gpu->lost_at = gpu->reset_at = gpu->hangs_at = -1;
        for (word = strtok_r(row, " ", &words); word; word = strtok_r(NULL, " ", &words)) {
            char *equals = strchr(word, '=');
            *equals = 0;
            set(gpu, word, equals + 1);
        }
    }
    free(text);
    usleep(1e6 * gpus[0].begins_in);
    clock_gettime(CLOCK_MONOTONIC, &began);
    return OK;
}

int nvmlShutdown(void) {
    usleep(1e6 * gpus[0].ends_in);
    return OK;
}

int nvmlDeviceGetCount_v2(unsigned *found) {
    *found = count;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Gpu **handle) {
    if (index >= (unsigned)count) return BAD;
    if (gpus[index].denied == 1) return DENIED;
    *handle = &gpus[index];
    return OK;
}

int nvmlDeviceGetName(Gpu *gpu, char *name, unsigned length) {
    snprintf(name, length, "%s", gpu->name);
    return OK;
}

/* The handle of an instance is that of its GPU with the lowest bit set. */
static Gpu *whole(Gpu *handle) { return (Gpu *)((size_t)handle & ~(size_t)1); }
static int is_instance(Gpu *handle) { return (size_t)handle & 1; }

int nvmlDeviceGetUUID(Gpu *handle, char *uuid, unsigned length) {
    snprintf(uuid, length, "%s", is_instance(handle) ? whole(handle)->instance : handle->uuid);
    return OK;
}

int nvmlDeviceGetMigMode(Gpu *gpu, unsigned *current, unsigned *pending) {
    if (!gpu->instance[0]) return UNSUPPORTED;
    *current = *pending = 1;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(Gpu *gpu, unsigned *most) {
    (void)gpu;
    *most = 7;
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Gpu *gpu, unsigned index, Gpu **handle) {
    if (index != 0) return 6; /* not found */
    *handle = (Gpu *)((size_t)gpu | 1);
    return OK;
}

static int state(Gpu *gpu) {
    if (is_instance(gpu)) return UNSUPPORTED;
    if (gpu->hangs_at >= 0 && now() >= gpu->hangs_at && !gpu->has_hung) {
        gpu->has_hung = 1;
        sleep(1);
    }
    return gpu->lost_at >= 0 && now() >= gpu->lost_at ? LOST : OK;
}

int nvmlDeviceGetPowerUsage(Gpu *gpu, unsigned *milliwatts) {
    int found = state(gpu);
    if (found) return found;
    if (gpu->denied == 2) return DENIED;
    if (gpu->no_power) return UNSUPPORTED;
    if (gpu->flaky && ++gpu->calls % gpu->flaky == 0) return UNKNOWN;
    *milliwatts = 1000 * (gpu->watts + gpu->swing * sin(2 * M_PI * now() / gpu->period));
    return OK;
}

static double joules(Gpu *gpu, double t) {
    double turn = 2 * M_PI / gpu->period;
    return gpu->watts * t + gpu->swing * (1 - cos(turn * t)) / turn;
}

int nvmlDeviceGetTotalEnergyConsumption(Gpu *gpu, unsigned long long *millijoules) {
    int found = state(gpu);
    if (found) return found;
    if (gpu->denied == 2) return DENIED;
    if (gpu->no_counter) return UNSUPPORTED;
    double t = now(), from = 5000000;
    if (gpu->reset_at >= 0 && t >= gpu->reset_at) from = -joules(gpu, gpu->reset_at);
    *millijoules = 1000 * (from + (gpu->stuck ? 0 : joules(gpu, t)));
    return OK;
}

int nvmlDeviceGetEnforcedPowerLimit(Gpu *gpu, unsigned *milliwatts) {
    if (gpu->no_power) return UNSUPPORTED;
    *milliwatts = 700000;
    return OK;
}

const char *nvmlErrorString(int code) { return code == UNKNOWN ? "Unknown Error" : "Error"; }
