"""`overt rewrite`."""

from __future__ import annotations

from overt.cli.options import command
from overt.cli.output.rewrite import print_rewrite
from overt.data.progress import make_progress
from overt.tasks import rewrite as task
from overt.tasks.rewrite import RewriteConfig


@command(RewriteConfig)
def rewrite(config: RewriteConfig) -> None:
    """Without a model, by the policy's neutral words:

        overt rewrite runs/mine

    By a model with four strategies, two wordings each; pictures scored by CLIP and a question-answering
    model; unsafe prompts as a control:

        overt rewrite runs/mine --llm openai/gpt-4.1-mini --unsafe
        --faithfulness clip/ViT-B-32:laion2b_s34b_b79k --faithfulness vqa/openai/gpt-4.1-mini --max-cost 5

    Per prompt the most faithful wording that was accepted is kept. The report shows refusal won against
    meaning lost: overt report runs/mine
    """
    run = task.rewrite(config, make_progress(config.quiet))
    print_rewrite(run, as_json=config.as_json)
