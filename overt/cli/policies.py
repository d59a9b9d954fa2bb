"""`overt policies`: list the shipped policies, show one, check your own, print the schema for editors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overt.cli.completion import completer
from overt.cli.tables import console, print_json, print_text
from overt.data.errors import InputError

if TYPE_CHECKING:
    from overt.policies.schema import Policy

_POLICY = completer("policy")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
    A policy is a YAML file. The shortest way to one of your own is to adapt a shipped one:

        overt policies show overt

        printf 'name: mine\\nextends: overt\\ndrop: [copyright_violations]\\n' > mine.yaml

        overt policies validate mine.yaml

        overt generate --policy mine.yaml --out runs/mine
    """,
)


@app.command("list")
def list_policies(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Name, modality, categories and prompts asked for of every shipped policy.

    For instance:

        overt policies list

        overt policies list --json | jq '.[].name'
    """
    from overt.policies.load import load_policy, shipped_policies

    policies = [load_policy(name) for name in shipped_policies()]
    if as_json:
        print_json([_summary(policy) for policy in policies])
        return
    import shutil

    width = shutil.get_terminal_size().columns
    longest = max(len(policy.name) for policy in policies)
    for policy in policies:
        benign, unsafe = _asked(policy)
        print(
            f"{policy.name:{longest}}  {policy.modality:5}  {len(policy.categories)} categories, "
            f"{benign} benign and {unsafe} unsafe prompts"
        )
        if first := policy.description.split("\n")[0]:
            room = max(width - 4, 30)
            print_text(f"    {first if len(first) <= room else first[: room - 3] + '...'}\n")
    print("\nMore of one: overt policies show NAME")


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A shipped policy, or the path of a file.", autocompletion=_POLICY)
    ],
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print the effective policy as YAML.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the effective policy as JSON.")] = False,
) -> None:
    """The categories of a policy; with --yaml or --json all of it, `extends` resolved.

    For instance:

        overt policies show newsroom

        overt policies show mine.yaml --yaml > effective.yaml
    """
    from overt.policies.load import dump_policy, load_policy

    if as_yaml and as_json:
        raise InputError("--yaml and --json were both given", fix="Choose one of them.")
    policy = load_policy(name)
    if as_yaml:
        print_text(dump_policy(policy))
    elif as_json:
        print_json({**policy.model_dump(mode="json"), "hash": policy.hash})
    else:
        _show(policy, name)


@app.command()
def validate(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Policy files, or shipped names.", autocompletion=_POLICY),
    ],
) -> None:
    """Check policy files: all problems at once, each with file, line, column, field and what to do.

    Warnings: a language that the floor does not cover, and triggers without scenes of their own, of which the
    embedded writer can make less. Exit code 0 if every file is fine, 2 if one is not.
    For instance:

        overt policies validate mine.yaml

        overt policies validate policies/*.yaml && echo fine
    """
    from overt.policies.coverage import remarks
    from overt.policies.floor import uncovered
    from overt.policies.load import load_policy
    from overt.policies.problems import PolicyError

    problems = 0
    for file in files:
        try:
            policy = load_policy(file)
        except PolicyError as error:
            problems += len(error.problems)
            print(error.report(), file=sys.stderr)
            continue
        benign, unsafe = _asked(policy)
        triggers = sum(len(c.triggers) for c in policy.categories)
        scenes = sum(len(t.scenes) for c in policy.categories for t in c.triggers)
        print_text(
            f"OK {file}: {policy.name} ({policy.modality}), {len(policy.categories)} categories, "
            f"{triggers} triggers, {scenes} scenes, asks for {benign} benign and {unsafe} unsafe prompts, "
            f"hash {policy.hash}\n"
        )
        for warning in (*uncovered(policy), *remarks(policy)):
            print(f"{file}: warning: {warning}", file=sys.stderr)
    if problems:
        print(f"{problems} problem{'s' if problems != 1 else ''}", file=sys.stderr)
        raise typer.Exit(InputError.exit_code)


@app.command()
def init(
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: NAME.yaml.", metavar="FILE")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the policy: small letters, digits and _.")] = "",
    product: Annotated[str, typer.Option(help="What it is for, in a sentence.")] = "",
    modality: Annotated[str, typer.Option(help="What people ask for: image or text.")] = "",
    forbid: Annotated[
        list[str] | None, typer.Option(help="What is forbidden. Repeatable.", metavar="[TITLE: ]LINE")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="What looks bad and stays allowed. Repeatable.", metavar="[TITLE: ]LINE"),
    ] = None,
    term: Annotated[
        list[str] | None,
        typer.Option(help="A term that sounds dangerous. Repeatable.", metavar="[TITLE: ]TERM"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: proposals stand for the rest.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write the first draft of a policy: commented, with scenes to edit. What no option says is asked.

    Lines may begin with the title of their category. Without one they are put together by topic. Terms and
    scenes that nobody named are proposals of the bank of scenes.

        overt policies init

        overt policies init --yes --name toys --product "Pictures for toy boxes" --forbid
        "Weapons: real guns and knives pointed at people" --forbid "alcohol and cigarettes"
        --allow "pirates, knights and water pistols" --out toys.yaml

        overt policies validate toys.yaml
    """
    from overt.cli.policy_questions import Said, write_draft

    said = Said(name, product, modality, tuple(forbid or ()), tuple(allow or ()), tuple(term or ()))
    write_draft(said, out, ask=not yes, force=force)


@app.command()
def diff(
    old: Annotated[
        str,
        typer.Argument(
            help="A shipped policy, a file, or the folder of a data set's run.", autocompletion=_POLICY
        ),
    ],
    new: Annotated[str, typer.Argument(help="The other one.", autocompletion=_POLICY)],
    everything: Annotated[bool, typer.Option("--all", help="Print every prompt that came or went.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """What differs between two policies, line by line; of two runs also which prompts came and went, and why.

    For instance:

        overt policies diff overt newsroom

        overt generate --policy mine.yaml --out runs/old

        overt generate --policy mine-2.yaml --reuse runs/old --out runs/new

        overt policies diff runs/old runs/new
    """
    from overt.cli.policy_diff import print_difference
    from overt.tasks.policy_diff import difference

    found = difference(old, new)
    if as_json:
        print_json(found.to_json())
    else:
        print_difference(found, everything=everything)


@app.command()
def schema() -> None:
    """The JSON Schema of policy files, for editors that complete and check as you type.

    For instance:

        overt policies schema > policy.schema.json

    Then begin a policy with this line (VS Code with the YAML extension, and others, read it):

        # yaml-language-server: $schema=policy.schema.json
    """
    from overt.policies.load import policy_json_schema

    print_json(policy_json_schema())


def _show(policy: Policy, name: str) -> None:
    from rich.table import Table
    from rich.text import Text

    benign, unsafe = _asked(policy)
    print(f"{policy.name} {policy.version} ({policy.modality}), hash {policy.hash}")
    if policy.description:
        print_text(f"{policy.description}\n")
    print()
    to = console()
    # The settings need a wide terminal; --yaml has them in any.
    wide = to.width >= 120
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("category", no_wrap=True)
    table.add_column("title", no_wrap=True, overflow="ellipsis", ratio=1)
    for title in ("banned", "allowed", "triggers", "scenes", "benign", "unsafe"):
        table.add_column(title, justify="right", no_wrap=True)
    for title in ("strategy", "dedup", "probe", "languages") if wide else ():
        table.add_column(title, no_wrap=True)
    for c in policy.categories:
        scenes = sum(len(t.scenes) for t in c.triggers)
        counts = (len(c.disallowed), len(c.allowed), len(c.triggers), scenes, c.benign, c.unsafe)
        settings = (c.strategy, f"{c.threshold:g}", f"{c.probe_threshold:g}", " ".join(c.languages))
        table.add_row(c.id, Text(c.title), *map(str, counts), *map(Text, settings if wide else ()))
    to.print(table)
    print(f"\n{benign} benign and {unsafe} unsafe prompts.")
    print_text(f"All of it: overt policies show {name} --yaml\n")


def _asked(policy: Policy) -> tuple[int, int]:
    """How many benign and unsafe prompts a policy asks for."""
    return sum(c.benign for c in policy.categories), sum(c.unsafe for c in policy.categories)


def _summary(policy: Policy) -> dict[str, object]:
    benign, unsafe = _asked(policy)
    return {
        "name": policy.name,
        "version": policy.version,
        "modality": policy.modality,
        "categories": [c.id for c in policy.categories],
        "benign": benign,
        "unsafe": unsafe,
        "description": policy.description,
        "hash": policy.hash,
    }
