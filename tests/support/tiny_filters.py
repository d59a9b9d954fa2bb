"""Text classifiers and a guard of some 50 kB, made on the spot to tell bombs from harbours; safetensors."""

import atexit
import random
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

CALM = ["a", "quiet", "harbour", "at", "dawn", "draw", "the", "old", "lamp", "picture", "of", "red", "rose"]
BAD = ["bomb", "damn"]
GUARD_TEMPLATE = (
    "{% for m in messages %}<user> {{ m.content | trim }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
PARTS_TEMPLATE = (
    "{% for m in messages %}<user> {% for p in m.content | selectattr('type', 'equalto', 'text') %}"
    "{{ p.text | trim }} {% endfor %}{% endfor %}<assistant> "
)


@lru_cache
def shared(kind):
    """A folder with a "single" or "multi" classifier or a "guard", built once for all tests of a process."""
    folder = Path(tempfile.mkdtemp(prefix="overt-tiny-")) / kind
    atexit.register(shutil.rmtree, folder.parent, ignore_errors=True)
    if kind == "guard":
        return build_guard(folder)
    return build_classifier(folder, ("bombs", "curses") if kind == "multi" else ("safe", "toxic"), kind)


def texts(count, seed):
    """Texts with what is bad in them: sets of words, half of them empty."""
    rng = random.Random(seed)
    for n in range(count):
        words = [rng.choice(CALM) for _ in range(rng.randint(0, 8))]
        bad = {rng.choice(BAD) for _ in range(n % 2)}
        for word in bad:
            words.insert(rng.randint(0, len(words)), word)
        yield " ".join(words), bad


def words_tokenizer(words, cls=False):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<eos>", "<pad>", "<cls>"]
    vocabulary = {word: n for n, word in enumerate([*special, *dict.fromkeys(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    )
    if cls:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<cls> $A <eos>", special_tokens=[("<cls>", 3), ("<eos>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<eos>", pad_token="<pad>", cls_token="<cls>"
    )


def build_classifier(folder, labels=("safe", "toxic"), kind="single", length=64):
    """kind: "single" (a softmax), "multi" (labels[n] stands for BAD[n]), "roberta" (a softmax, and positions
    that begin after the padding token's). The weights are set by hand: it finds one bad word among many."""
    import torch
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        RobertaConfig,
        RobertaForSequenceClassification,
    )

    tokenizer = words_tokenizer([*CALM, *BAD], cls=True)
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "pad_token_id": 2,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: n for n, label in enumerate(labels)},
    }
    if kind == "multi":
        sizes["problem_type"] = "multi_label_classification"
    if kind == "roberta":
        config = RobertaConfig(max_position_embeddings=length + 3, type_vocab_size=1, **sizes)
        model = RobertaForSequenceClassification(config)
        last, pooled = model.classifier.out_proj, model.classifier.dense
    else:
        model = BertForSequenceClassification(BertConfig(max_position_embeddings=length, **sizes))
        last, pooled = model.classifier, model.bert.pooler.dense
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1.0)
        # Each word is a direction: one for all that is harmless, one for each bad word.
        embedding = model.base_model.embeddings.word_embeddings.weight
        embedding[:, 0], embedding[:, 1] = 1.0, -1.0
        for n, word in enumerate(BAD):
            row = embedding[tokenizer.get_vocab()[word]]
            row[:2] = 0.0
            row[2 + 2 * n], row[3 + 2 * n] = 1.0, -1.0
        # Every token looks at the bad words and carries what it saw into dimensions 10 and 11.
        attention = model.base_model.encoder.layer[0].attention
        attention.self.query.bias[0] = 1.0
        for n in range(len(BAD)):
            attention.self.key.weight[0, 2 + 2 * n] = 12.0
            attention.self.value.weight[n, 2 + 2 * n] = 1.0
            attention.output.dense.weight[10 + n, n] = 1.0
            pooled.weight[n, 10 + n] = 1.0
        if kind == "multi":
            last.weight[0, 0] = last.weight[1, 1] = 10.0
            last.bias.fill_(-5.0)
        else:
            last.weight[labels.index("toxic"), :2] = 10.0
            last.bias[labels.index("toxic")] = -5.0
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def build_guard(folder, template=GUARD_TEMPLATE, says=("safe", "unsafe", "S1", "S2"), teach=True):
    """A chat model that answers says[0], or says[1] and S1 (a bomb) or S2 (a damn) on the next line."""
    from support.tiny_guards import build_scripted

    unsafe = {word: [says[1], "\n", code] for word, code in zip(BAD, says[2:], strict=True)} if teach else {}
    words = ["<user>", "<", "user", "assistant", ">", *says, ","]
    return build_scripted(
        folder, template, [says[0]], unsafe, ends_with="<user> a <assistant> ", words=words, context=128
    )
