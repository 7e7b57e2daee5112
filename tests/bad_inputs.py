"""Every bad input that a command is shown to refuse: the table behind the tests and `docs/bad-inputs.md`.

`python -m tests.bad_inputs` writes the page anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.lamps_command import search_arguments
from tests.searches import TINY

PAGE = Path(__file__).parents[1] / "docs" / "bad-inputs.md"
LONG = "x" * 300  # more than a file name may have


class Case(NamedTuple):
    """One bad input: words of a command (of a good search, where they begin with an option), and what is said.

    `{here}` stands for the folder of `bad_files.write_material`, `{out}` for a folder that is not there.
    """

    name: str
    words: list[str]
    said: str


def _each(option: str, cases: dict[str, tuple[str, str]]) -> list[Case]:
    """Cases that differ in the value of one option."""
    return [Case(name, [option, value], said) for name, (value, said) in cases.items()]


DATASETS = _each(
    "--dataset",
    {
        "missing file": ("{here}/nowhere.csv", "nowhere.csv: no such file"),
        "one class": ("{here}/one_class.csv", "all labels are 'food'"),
        "no rows": ("{here}/no_rows.csv", "no row with both a text and a label"),
        "empty texts only": ("{here}/blank.csv", "no row with both a text and a label"),
        "a class for every row": ("{here}/identifiers.csv", "a label of its own"),
        "empty file": ("{here}/empty.csv", "the file is empty"),
        "UTF-16 with a mark": ("{here}/utf16.csv", "save it as UTF-8"),
        "UTF-16 without a mark": ("{here}/utf16_unmarked.csv", "save it as UTF-8"),
        "Latin-1": ("{here}/latin1.csv", "save it as UTF-8"),
        "Latin-1 in JSON Lines": ("{here}/latin1.jsonl", "UTF-8"),
        "NUL bytes": ("{here}/nul.csv", "NUL bytes"),
        "a row with too many values": ("{here}/ragged.csv", "holds 3 values, and the header 2"),
        "two columns of one name": ("{here}/twice.csv", "2 columns are called 'phrase'"),
        "truncated Parquet": ("{here}/truncated.parquet", "cannot be read as parquet"),
        "Parquet that is text": ("{here}/text.parquet", "cannot be read as parquet"),
        "texts that are structures": ("{here}/structures.parquet", "column 'phrase' holds struct"),
        "labels that are fractions": ("{here}/fractions.parquet", "topic"),
        "a label beyond the class names": ("{here}/unnamed.parquet", "label 2 is outside the 2 class names"),
        "JSON nested too deep": ("{here}/deep.json", "nested too deep"),
        "JSON Lines nested too deep": ("{here}/deep.jsonl", "nested too deep"),
        "a number too large for JSON's reader": ("{here}/huge.json", "or one too large"),
        "JSON that is no table": ("{here}/scalars.json", "something that is not an object"),
        "a pickle": ("{here}/rows.pkl", "cannot read .pkl"),
        "a spreadsheet": ("{here}/rows.xlsx", "cannot read .xlsx"),
        "folder without data": ("{here}/nothing", "which holds notes.txt; a split is one file or folder named for it"),
        "folder without splits": ("{here}/pickled", "has no split 'train'"),
        "folder of folders that each have a split": ("{here}/corpora", "is in more than one folder (one, two)"),
        "folder without one of its shards": ("{here}/shards", "1 of 2 are missing, train-00001-of-00002 first"),
        "a link that leads to itself": ("{here}/loop.csv", "no such file"),
        "a pipe": ("{here}/pipe.csv", "pipe.csv"),
        "name with a line break": ("no\nsuch.csv", "no such file"),
        "name with an escape sequence": ("\x1b[31mred.csv", "\\x1b[31mred.csv: no such file"),
        "name with an emoji": ("\N{PILE OF POO}.csv", "\N{PILE OF POO}.csv: no such file"),
        "name too long": (LONG + ".csv", "File name too long"),
        "name that is not UTF-8": ("donn\udce9es.csv", "'donn\\xe9es.csv' after --dataset is not UTF-8"),
    },
)  # fmt: skip
COLUMNS = [
    Case("missing input column", ["--input-col", "sentence"], "sentence"),
    Case("missing target column", ["--target-col", "lable"], "lable"),
    Case("the label in the text", ["--input-col", "topic"], "both input and target"),
    Case("an input column twice", ["--input-col", "phrase,phrase"], "more than once"),
    Case("no input column", ["--input-col", ""], "''"),
    Case("template with an unknown column", ["--template", "{title}"], "title"),
    Case("test file with an unseen label", ["--test-dataset", "{here}/unseen_label.csv"], "sports"),
    Case("selection split that is nothing", ["--selection-split", "1.5"], "selection"),
    Case("selection split that is no number", ["--selection-split", "nan"], "selection"),
    Case("selection split that is not there", ["--selection-split", "validation"], "validation"),
    Case("empty selection split", ["--selection-split", ""], "--selection-split is empty"),
    Case("empty test dataset", ["--test-dataset", ""], "--test-dataset is empty"),
    Case("no training rows", ["--max-train-rows", "0"], "--max-train-rows"),
]
MODELS = _each(
    "--models",
    {
        "empty models": ("", "no model"),
        "unknown preset": ("zooo", "did you mean zoo"),
        "unknown model": ("zoo/bert-huge", "zoo/bert-huge"),
        "model out of the zoo": ("zoo/../../etc", "no such folder"),
        "model that looks like an option": ("-rf", "no legal hub id"),
        "model folder that is not there": ("../x", "../x is not there"),
        "model with a space": ("org/a b", "no legal hub id"),
        "model with an escape sequence": ("\x1b[2J", "\\x1b[2J"),
        "model with a name too long": (LONG, "no legal hub id"),
        "list of models in UTF-16": ("{here}/utf16.csv", "is not a list of models"),
        "model folder without a tokenizer": ("{here}/no-tokenizer", "has no tokenizer"),
        "model folder with pickled weights": ("{here}/pickled", "a pickle, never loaded here"),
        "model folder with a .pkl alone": ("{here}/pkl", "has no safetensors weights"),
        "model folder with code of its own": ("{here}/own-code", "code of its own"),
        "model folder whose config is no JSON": ("{here}/no-json", "config.json"),
        "model folder whose config is nested too deep": ("{here}/deep-config", "config.json"),
        "model folder whose config is a list": ("{here}/list-config", "config.json"),
        "model folder with a broken link": ("{here}/broken-link", "model.safetensors"),
    },
)  # fmt: skip
NUMBERS = [
    *_each(
        "--budget",
        {
            "empty budget": ("", "--budget is empty"),
            "budget that is no budget": ("soon", "budget 'soon' is not understood"),
            "budget of nothing": ("0steps", "must be more than zero"),
            "budget that is not a number": ("nan", "not understood"),
            "endless budget": ("inf", "not understood"),
            "negative budget": ("-5m", "not understood"),
            "negative dollars": ("$-5", "not understood"),
            "budget too large": ("9" * 400 + "s", "finite"),
        },
    ),
    Case("a tracker nobody knows", ["--track", "mlflow,comet"], "not comet"),
    Case("price of nothing", ["--budget", "$5", "--gpu-hour-price", "0"], "price of a GPU hour"),
    Case("price that is not a number", ["--gpu-hour-price", "nan"], "price of a GPU hour"),
    Case("stop below no number", ["--budget", "auto", "--stop-below", "nan"], "nan"),
    Case("stop below less than nothing", ["--budget", "auto", "--stop-below", "-1%"], "-1%"),
    Case("stop below where nothing stops", ["--budget", "2h", "--stop-below", "5%"], "give --budget auto,2h"),
    Case("empty objectives", ["--objectives", ""], "objective"),
    Case("unknown objective", ["--objectives", "test_loss,speed"], "'speed' cannot be an objective"),
    Case("objective twice", ["--objectives", "test_loss,test_loss"], "given twice"),
    Case(
        "too many objectives",
        ["--objectives", "test_loss,accuracy,macro_f1,train_seconds,parameters,dollars,cpu_seconds"],
        "7 objectives are too many",
    ),
    Case("bound without a number", ["--bound", "parameters"], "bound 'parameters' is not understood"),
    Case("bound on no objective", ["--bound", "accuracy=0.5"], "is on no objective"),
    Case("bound that is not a number", ["--bound", "parameters=nan"], "needs a finite number"),
    Case("endless bound", ["--bound", "parameters=inf"], "needs a finite number"),
    Case("bound below nothing", ["--bound", "parameters=-5"], "at least 0"),
    Case("negative seed", ["--seed", "-1"], "--seed must be between 0 and"),
    Case("seed too large", ["--seed", "9" * 30], "--seed must be between 0 and"),
    Case("nothing at once", ["--parallel", "0"], "--parallel must be at least 1"),
    Case("too much at once", ["--parallel", "1000000000"], "--parallel must be at most"),
    Case("timeout of nothing", ["--step-timeout", "0"], "--step-timeout must be more than zero"),
    Case("timeout that is not a number", ["--step-timeout", "nan"], "--step-timeout must be more than zero"),
    Case("learning rate that is not a number", ["--learning-rate", "nan"], "--learning-rate"),
    Case("too many landmarks", ["--landmarks", "31"], "--landmarks must be at most 30"),
    Case("no number", ["--batch-size", "many"], "'many' is not a valid integer"),
    Case("unknown option", ["--ouput", "x"], "No such option"),
]
POLICIES = _each(
    "--policy",
    {
        "empty policy": ("", "names no place"),
        "unknown policy": ("cheepest", "did you mean cheapest"),
        "policy that is no zip": ("{here}/text.zip", "cannot be read as a policy"),
        "policy that unpacks to far too much": ("{here}/bomb.zip", "policy.json is larger than"),
        "weights that unpack to far too much": ("{here}/weights-bomb.zip", "weights.safetensors is larger than"),
        "policy with a path out of its zip": ("{here}/traversal.zip", "has no policy.json"),
        "policy with pickled weights": ("{here}/pickle.zip", "is not safetensors"),
        "policy with weights that are no numbers": ("{here}/nan.zip", "finite"),
        "policy with weights of another network": ("{here}/foreign.zip", "its weights are not those of a forecast"),
        "policy nested too deep": ("{here}/deep.zip", "policy.json cannot be read: it is nested too deep"),
        "policy that is a list": ("{here}/list.zip", "holds no JSON object"),
        "policy of a later version": ("{here}/later.zip", "upgrade LAMPS"),
        "policy without its kind": ("{here}/kindless.zip", "kind is missing"),
        "truncated policy": ("{here}/truncated.zip", "cannot be read as a policy"),
        "policy that is a pipe": ("{here}/pipe.csv", "pipe.csv"),
    },
)  # fmt: skip
PLACES = [
    *_each(
        "--out",
        {
            "empty out": ("", "--out names no place"),
            "out under a file": ("{here}/one_class.csv/out", "cannot be written"),
            "out where nothing can be made": ("/proc/lamps-out", "cannot be written"),
            "out that is a file": ("{here}/one_class.csv", "is a file: name a folder"),
            "out that leads to itself": ("{here}/loop.csv", "loop.csv"),
            "out with other files": ("{here}/pickled", "is not empty and holds no search"),
            "out with too long a name": ("{here}/" + LONG, "File name too long"),
            "out that is not UTF-8": ("{here}/r\udce9sult", "r\\xe9sult' after --out is not UTF-8"),
            "out of a later version": ("{here}/later", "upgrade LAMPS"),
            "out with a journal that is no JSON": ("{here}/torn", "line 3 is damaged"),
            "out with a journal nested too deep": ("{here}/deep", "line 2 is damaged"),
            "out with a journal that tells half of an outcome": ("{here}/half", "line 2 is damaged"),
            "out with a journal of an unknown candidate": ("{here}/stranger", "line 2 is damaged"),
            "out with a journal that is a pipe": ("{here}/piped", "holds no search"),
        },
    ),
    Case(
        "out in the dataset's folder",
        ["--dataset", "{here}/splits", "--out", "{here}/splits/out"],
        "is in the folder of the dataset",
    ),
    Case(
        "out of a search with another dataset",
        ["--out", "{here}/search", "--dataset", "{here}/two_topics.csv"],
        "holds another search (dataset was",
    ),
    Case(
        "out of a search with other models",
        ["--out", "{here}/search", "--models", TINY],
        "holds another search (models",
    ),
]
_TRAIN = ["train-policy", "--out", "{out}", "--curves"]
CURVES = [
    Case(name, [*_TRAIN, "{here}/curves/" + folder], said)
    for name, folder, said in (
        ("curves that are not there", "nowhere", "nowhere"),
        ("no curves in the folder", "none", "none"),
        ("steps that leave a gap", "gap", "column step, row 2: 2 leaves a gap"),
        ("steps below nothing", "backwards", "column step"),
        ("a step twice", "twice", "is there twice in its curve"),
        ("a loss that is no number", "nan", "column test_loss, row 1"),
        ("a time below nothing", "negative", "column train_seconds, row 1"),
        ("two sources in one curve", "mixed", "one curve, one source"),
        ("an unknown source", "source", "is none of measured"),
        ("a missing column", "missing", "parameters"),
        ("a column of another type", "typed", "column test_loss, row 0"),
        ("names that are not UTF-8", "bytes", "UTF"),
        ("truncated curves", "truncated", "truncated"),
        ("curves that are text", "text", "text"),
        ("curves that are a pipe", "pipe", "pipe"),
    )
]  # fmt: skip
_CAMPAIGN = ["campaign", "--models", TINY, "--curves", "{out}", "--datasets"]
_EXTEND = [
    "campaign", "--models", TINY, "--datasets", "{here}/two_topics.csv",
    "--input-col", "phrase", "--target-col", "topic", "--curves",
]  # fmt: skip
CONFIGS = [
    Case("YAML that would run code", [*_CAMPAIGN, "{here}/object.yaml"], "object.yaml"),
    Case("YAML nested too deep", [*_CAMPAIGN, "{here}/deep.yaml"], "deep.yaml"),
    Case("YAML in Latin-1", [*_CAMPAIGN, "{here}/latin1.yaml"], "latin1.yaml"),
    Case("YAML that is a list", [*_CAMPAIGN, "{here}/list.yaml"], "list.yaml"),
    Case("YAML that multiplies itself", [*_CAMPAIGN, "{here}/laughs.yaml"], "laughs.yaml"),
    Case("YAML with a date that is none", [*_CAMPAIGN, "{here}/date.yaml"], "month must be in 1..12"),
    Case("a dataset with a path for a name", [*_CAMPAIGN, "{here}/traversal.yaml"], "../x"),
    Case("no datasets", [*_CAMPAIGN, ""], "dataset"),
    Case("campaign of a later version", [*_EXTEND, "{here}/campaigns/later"], "upgrade LAMPS"),
    Case("campaign that is no JSON", [*_EXTEND, "{here}/campaigns/torn"], "is damaged"),
    Case("campaign nested too deep", [*_EXTEND, "{here}/campaigns/deep"], "is damaged"),
    Case("campaign that is a list", [*_EXTEND, "{here}/campaigns/list"], "is damaged"),
    Case("campaign with a setting that is none", [*_EXTEND, "{here}/campaigns/setting"], "is damaged"),
    Case("campaign in a file", [*_EXTEND, "{here}/one_class.csv"], "is a file: name a folder"),
]
COMMANDS = [
    Case("missing option", ["search", "--dataset", "reviews.csv"], "Missing option '--input-col'"),
    Case("unknown command", ["serch"], "No such command 'serch'"),
    Case(
        "evaluation of no methods",
        ["evaluate", "--curves", "shipped", "--methods", "", "--out", "{out}"],
        "--methods is empty",
    ),
    Case("report of nothing", ["report", "nowhere"], "holds neither a search nor learning curves"),
    Case("report of what is not UTF-8", ["report", "--json", "r\udce9sult"], "'r\\xe9sult' after --json"),
    Case("report without a folder", ["report"], "Missing argument 'FOLDER'"),
    Case("report of too long a name", ["report", LONG], "File name too long"),
    Case(
        "evaluation into too long a name",
        ["evaluate", "--curves", "shipped", "--methods", "cheapest", "--out", LONG],
        "File name too long",
    ),
    Case("report of a result that is no JSON", ["report", "{here}/result"], "result.json"),
    Case("report of a result nested too deep", ["report", "{here}/deep-result"], "result.json"),
]
_OFF = "the hub is switched off here (HF_HUB_OFFLINE)"  # as in all tests
HUB = [
    Case("repository without an owner", ["--push-to-hub", "reviews"], "names no repository of the hub"),
    Case("repository with a space", ["--push-to-hub", "my name/reviews"], "names no repository of the hub"),
    Case("repository without room for candidates", ["--push-to-hub", f"me/{LONG[:90]}"], "leaves no room"),
    Case("push while the hub is off", ["--push-to-hub", "me/reviews"], _OFF),
    Case("policy that only the hub could have", ["--policy", "org/policy"], _OFF),
    Case(
        "curves that only the hub could have",
        ["train-policy", "--out", "{out}", "--curves", "org/curves@v1"],
        _OFF,
    ),
    Case(
        "push of what is not there", ["push", "nowhere", "me/x"], "nowhere: there is no such file or folder"
    ),
    Case("push of something else", ["push", "{here}/splits", "me/x"], "holds nothing that can be pushed"),
    Case(
        "push of a model of no search", ["push", "{here}/pickled", "me/x"], "is no front model in the folder"
    ),
    Case("push of a damaged search", ["push", "{here}/torn", "me/x"], "line 3 is damaged"),
    Case(
        "push of a policy with pickled weights", ["push", "{here}/pickle.zip", "me/x"], "is not safetensors"
    ),
    Case("push of curves with a gap", ["push", "{here}/curves/gap", "me/x"], "leaves a gap"),
]
GROUPS = {
    "Datasets": DATASETS,
    "Columns, labels and splits": COLUMNS,
    "Models": MODELS,
    "Budgets, bounds and numbers": NUMBERS,
    "Policies": POLICIES,
    "Folders and journals of searches": PLACES,
    "Curves": CURVES,
    "Campaigns and their files": CONFIGS,
    "The hub": HUB,
    "Commands": COMMANDS,
}
CASES = {case.name: case for cases in GROUPS.values() for case in cases}


def arguments(case: Case, here: Path, out: Path, csv: Path) -> list[str]:
    """The words after `lamps`."""
    words = [word.replace("{here}", str(here)).replace("{out}", str(out)) for word in case.words]
    if not words[0].startswith("-"):
        return words
    return search_arguments(csv, out, *words)


# --- the page --------------------------------------------------------------------------------------------------


def page() -> str:
    """`docs/bad-inputs.md`."""
    lines = [
        "# Bad inputs",
        "",
        f"Each of these {len(CASES)} is refused with exit code 2 and one line on stderr, before anything is run or "
        "written.",
        "Written by `python -m tests.bad_inputs` from the cases of `tests/lamps_cli/test_bad_inputs.py`.",
    ]
    for title, cases in GROUPS.items():
        lines += ["", f"## {title}", "", "| what | given | a part of what is said |", "|---|---|---|"]
        lines += [f"| {case.name} | {_code(_given(case))} | {_code(case.said)} |" for case in cases]
    return "\n".join(lines) + "\n"


def _given(case: Case) -> str:
    words = (word if len(word) <= 60 else f"{word[:20]}... ({len(word)} characters)" for word in case.words)
    return " ".join(word.replace("{here}/", "") or "''" for word in words)


def _code(text: str) -> str:
    shown = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    return f"`{shown}`".replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
