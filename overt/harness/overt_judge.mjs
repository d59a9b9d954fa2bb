// Asks overt what an answer counts as. Written by `overt export --format promptfoo`.
// One Python process judges all answers, since starting it takes longer than judging.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const JUDGE = "judge/rules";
const PYTHON = process.env.PROMPTFOO_PYTHON || 'python3';
const waiting = []; // of answers that were sent, in their order
let child;
let broken = '';

function hold(is_needed) {
  // A process that nothing waits for must not keep promptfoo from ending.
  for (const part of [child, child.stdin, child.stdout, child.stderr]) is_needed ? part.ref() : part.unref();
}

function fail(why) {
  broken = broken || `overt's judge does not run (${PYTHON} -m overt.harness.promptfoo): ${why}. ` +
    'Install overt, and set PROMPTFOO_PYTHON to the Python that has it.';
  for (const one of waiting.splice(0)) one.reject(new Error(broken));
}

function start() {
  let said = '';
  child = spawn(PYTHON, ['-m', 'overt.harness.promptfoo', 'judge', JUDGE]);
  child.on('error', (error) => fail(error.message));
  child.on('close', (code) => fail(said.trim().split('\n').slice(-3).join(' ') || `it ended with ${code}`));
  child.stdin.on('error', () => {}); // said by 'close'
  child.stderr.on('data', (data) => { said = (said + data).slice(-4000); });
  createInterface({ input: child.stdout }).on('line', (line) => {
    waiting.shift()?.resolve(JSON.parse(line));
    hold(waiting.length > 0);
  });
}

export default function judge(output, context) {
  if (broken) throw new Error(broken);
  if (!child) start();
  const { finishReason, guardrails } = context.providerResponse ?? {};
  const asked = {
    text: context.test.vars.item.text,
    metadata: context.test.metadata,
    output: output ?? null,
    response: { finishReason, guardrails },
  };
  return new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    hold(true);
    child.stdin.write(JSON.stringify(asked) + '\n');
  });
}
