"""Train the two vocabularies of the zoo on the docstrings of the Python standard library.

A maintainer's script, run by hand when the vocabularies are to be made anew: the files it writes are part of
the definition of every zoo candidate, so a change of theirs changes what recorded curves mean. It owns the
corpus and the training settings; it does not know the candidates.

    python data/zoo/build_tokenizers.py data/zoo
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

if TYPE_CHECKING:
    from collections.abc import Iterator

VOCABULARY_SIZE = 4096
MIN_FREQUENCY = 2
ALPHABET_SIZE = 128
"""Letters kept by WordPiece. The docstrings hold a few more, most of them seen once or twice."""

WORDPIECE_SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

BPE_SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>", "<|endoftext|>", "<ent>", "<ent2>")
"""`<pad>` must have the id 1: RoBERTa and LUKE count positions from the padding id."""

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
OTHER_FOLDERS = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"})


def standard_library_files() -> list[Path]:
    """The modules of the running Python's standard library, tests left out, in a fixed order."""
    root = Path(sysconfig.get_path("stdlib"))
    files = (path.relative_to(root) for path in root.rglob("*.py"))
    return [root / path for path in sorted(files) if not OTHER_FOLDERS.intersection(path.parts)]


def docstrings(files: list[Path]) -> Iterator[str]:
    """Every docstring of the files; a file that does not parse (a template) has none."""
    for path in files:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                yield text


def train_wordpiece(texts: list[str]) -> Tokenizer:
    """BERT's: lower case, accents stripped, split at white space and punctuation."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY_SIZE,
        min_frequency=MIN_FREQUENCY,
        limit_alphabet=ALPHABET_SIZE,
        special_tokens=list(WORDPIECE_SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def train_byte_level_bpe(texts: list[str]) -> Tokenizer:
    """GPT-2's: any byte can be written, so no text has an unknown token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        min_frequency=MIN_FREQUENCY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(BPE_SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_wordpiece(tokenizer: Tokenizer, folder: Path) -> None:
    """Save one token a line, sorted: the trainer finds the same tokens every time, numbered differently."""
    learned = set(tokenizer.get_vocab()) - set(WORDPIECE_SPECIAL_TOKENS)
    lines = [*WORDPIECE_SPECIAL_TOKENS, *sorted(learned)]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(folder: Path) -> None:
    """Write `wordpiece/vocab.txt`, `bpe/vocab.json` and `bpe/merges.txt` below the folder."""
    texts = list(docstrings(standard_library_files()))
    for name in ("wordpiece", "bpe"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    save_wordpiece(train_wordpiece(texts), folder / "wordpiece")
    train_byte_level_bpe(texts).model.save(str(folder / "bpe"))
    print(f"from {len(texts)} docstrings, {sum(map(len, texts))} characters, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
