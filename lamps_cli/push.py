"""The `lamps push` command: what was made goes to the Hugging Face hub."""

from __future__ import annotations

import dataclasses

import click

from lamps_cli.options import json_option, print_result


@click.command(epilog="Example: lamps push runs/reviews my-name/reviews")
@click.argument("place")
@click.argument("repository", metavar="ORG/NAME")
@click.option("--public", is_flag=True, help="Make new repositories that everybody sees.  [default: private]")
@click.option("--revision", help="A branch to push to, made where there is none.  [default: main]")
@json_option
def push(place: str, repository: str, public: bool, revision: str | None, as_json: bool) -> None:
    """Push to the hub: a search's front, one of its models, curves, or a policy; with a card.

    PLACE is what --out or --curves was given, a folder in the models/ of a search, or shipped. Each model of a
    front gets a repository of its own, ORG/NAME-MODEL. The token is read from HF_TOKEN or hf auth login.
    """
    from lamps_cli.tables import print_pushed
    from lamps_core.hub.access import check_push
    from lamps_core.publishing.push import push_uploads, uploads_of

    uploads = uploads_of(place, repository)
    check_push(repository, option="ORG/NAME")
    pushed = [dataclasses.asdict(one) for one in push_uploads(uploads, public=public, revision=revision)]
    print_result({"pushed": pushed}, lambda _: print_pushed(pushed), as_json=as_json)
