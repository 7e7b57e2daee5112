"""The zoo: tiny candidates, built from `data/zoo.yaml` into the cache folder, that need no network.

Owns what a zoo candidate is and where its folder lies. Such a folder looks like a pretrained model that was
downloaded (config, safetensors, tokenizer, no classification head), but its weights are random. Knows nothing
of training. Importing this module imports neither torch nor transformers; building a candidate does.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from lamps_core.errors import BadInput
from lamps_core.files import whole_folder
from lamps_core.resources import cache_folder, data_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX = "zoo/"
RECIPE = 1
"""Counted up when the code below builds other bytes from the same data: old folders are not taken for new."""

_ONE_BUILD_AT_A_TIME = threading.Lock()  # building seeds torch's global generator


@dataclass(frozen=True)
class TokenizerRecipe:
    """A tokenizer class of transformers over one of the shipped vocabularies.

    Attributes:
        vocabulary: the folder below `data/zoo`.
        class_name: the class that the family's real models name.
        special: its special tokens, where they are not the class's own.
    """

    vocabulary: str
    class_name: str
    special: dict[str, Any]


@dataclass(frozen=True)
class ZooEntry:
    """One candidate of the zoo.

    Attributes:
        name: as in `zoo/bert-tiny`; the seed of the weights too.
        model_type: the architecture, as transformers spells it.
        config: what differs from the architecture's own defaults.
        tokenizer: how its tokenizer is made.
        max_length: usable tokens.
        learning_rate: AdamW's rate at which it learns.
    """

    name: str
    model_type: str
    config: dict[str, Any]
    tokenizer: TokenizerRecipe
    max_length: int
    learning_rate: float

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of all that its folder is made from."""
        recipe = [RECIPE, self.name, self.model_type, self.config, self.max_length]
        tokenizer = [self.tokenizer.class_name, self.tokenizer.special]
        digest = hashlib.sha256(json.dumps([recipe, tokenizer], sort_keys=True).encode())
        for path in sorted(data_path(f"zoo/{self.tokenizer.vocabulary}").iterdir()):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


def zoo_names() -> tuple[str, ...]:
    """Every zoo candidate, in the order of `data/zoo.yaml`."""
    return tuple(_entries())


def zoo_entry(name: str) -> ZooEntry:
    """What one zoo candidate is made of.

    Raises:
        BadInput: there is no such candidate.
    """
    try:
        return _entries()[name]
    except KeyError:
        raise BadInput(f"{name} is not in the zoo, which holds {', '.join(zoo_names())}") from None


def materialise(name: str, *, cache: Path | None = None) -> Path:
    """The folder of a zoo candidate, built if it is not there yet.

    The folder appears by one rename, so that several processes may ask for it at once.

    Args:
        name: as in `zoo/bert-tiny`.
        cache: instead of `cache_folder()`.

    Returns:
        A folder for `AutoModelForSequenceClassification.from_pretrained` and `AutoTokenizer.from_pretrained`.

    Raises:
        BadInput: there is no such candidate, or the cache folder cannot be written.
    """
    entry = zoo_entry(name)
    shelf = (cache or cache_folder()).absolute() / "zoo" / entry.fingerprint
    folder = shelf / name.removeprefix(PREFIX)
    if folder.is_dir():
        return folder
    with contextlib.ExitStack() as stack:
        try:
            draft = stack.enter_context(whole_folder(folder))
        except OSError as error:
            raise BadInput(
                f"the zoo cannot be built in {shelf}: {error.strerror}; set LAMPS_CACHE"
            ) from error
        _build(entry, draft)
    return folder


def _build(entry: ZooEntry, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    tokenizer = _tokenizer(entry.tokenizer, entry.max_length)
    config = AutoConfig.for_model(
        entry.model_type,
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **entry.config,
    )
    seed = int.from_bytes(hashlib.sha256(entry.name.encode()).digest()[:4], "big")
    with _ONE_BUILD_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = AutoModel.from_config(config)  # the body alone: the head is new to every dataset
    tokenizer.save_pretrained(folder)
    with _no_progress_bar():
        model.save_pretrained(folder)
    # A candidate is known by its bytes: built by another version of transformers, it is the same one.
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.pop("transformers_version", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _tokenizer(recipe: TokenizerRecipe, max_length: int) -> Any:
    import transformers

    folder = data_path(f"zoo/{recipe.vocabulary}")
    return getattr(transformers, recipe.class_name)(
        **_vocabulary(folder), **recipe.special, model_max_length=max_length, padding_side="right"
    )


def _vocabulary(folder: Path) -> dict[str, Any]:
    if (folder / "vocab.txt").is_file():
        tokens = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        return {"vocab": {token: index for index, token in enumerate(tokens)}}
    merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]  # the first is a version
    return {
        "vocab": json.loads((folder / "vocab.json").read_text(encoding="utf-8")),
        "merges": [tuple(line.split(" ")) for line in merges],
    }


@contextlib.contextmanager
def _no_progress_bar() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@functools.cache
def _entries() -> dict[str, ZooEntry]:
    zoo = yaml.safe_load(data_path("zoo.yaml").read_text(encoding="utf-8"))
    recipes = {
        name: TokenizerRecipe(recipe["vocabulary"], recipe["class"], recipe.get("special", {}))
        for name, recipe in zoo["tokenizers"].items()
    }
    return {
        name: ZooEntry(
            name=name,
            model_type=entry["model_type"],
            config=entry["config"],
            tokenizer=recipes[entry["tokenizer"]],
            max_length=zoo["max_length"],
            learning_rate=entry.get("learning_rate", zoo["learning_rate"]),
        )
        for name, entry in zoo["candidates"].items()
    }
