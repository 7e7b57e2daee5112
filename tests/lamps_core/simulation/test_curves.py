"""What docs/decisions/simulation.md claims of the curves, over several seeds."""

from __future__ import annotations

import functools
import itertools
import statistics
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lamps_core.curves.reader import curves_by_key, read_curves
from lamps_core.errors import BadInput
from lamps_core.landmarks import landmark_rows
from lamps_core.registry import registered_datasets, registered_models
from lamps_core.reports.writer import write_report
from lamps_core.settings import FineTuningSettings
from lamps_core.simulation import curves as simulation
from lamps_core.simulation import loss as simulation_loss
from lamps_core.simulation.cost import plan_of, step_cost, utilisation
from lamps_core.simulation.curves import simulated_curves, summary, write_simulation
from lamps_core.simulation.facts import DATASETS, Body, body_of
from lamps_core.simulation.loss import FOREIGN, LossLaw, accuracy_of, loss_law, noise_sd
from tests.pages import Page

if TYPE_CHECKING:
    from pathlib import Path

    from lamps_core.curves.schema import Curve

SEEDS = range(4)
BY_NAME = {dataset.name: dataset for dataset in DATASETS}
MODELS = registered_models()
LARGE = [name for name, model in MODELS.items() if model.parameters >= 1e9]
SMALL = [name for name, model in MODELS.items() if model.parameters < 1.5e8 and model.languages == ("en",)]


@functools.cache
def curves_of(seed: int) -> dict[tuple[str, str], Curve]:
    table = simulated_curves(seed)
    return {(key.dataset, key.model): curve for key, curve in curves_by_key(table).items()}


def losses(seed: int, dataset: str, *, step: int = -1) -> dict[str, float]:
    """Of every candidate, at a step; the last by default."""
    return {
        model: float(curve.column("test_loss")[step])
        for (name, model), curve in curves_of(seed).items()
        if name == dataset
    }


def gpu_hours(seed: int, dataset: str) -> float:
    seconds = [
        curve.column("step_seconds").sum() for (name, _), curve in curves_of(seed).items() if name == dataset
    ]
    return float(sum(seconds)) / 3600


def spearman(first: list[float], second: list[float]) -> float:
    return float(np.corrcoef(np.argsort(np.argsort(first)), np.argsort(np.argsort(second)))[0, 1])


def of_size(parameters: float, layers: int, width: int, *, shares: bool = False) -> Body:
    return Body(layers, width, parameters, parameters, masked=True, shares_layers=shares)


# --- the meta-dataset --------------------------------------------------------------------------------------


def test_what_is_written_reads_back_as_complete_simulated_curves_of_every_pair(tmp_path: Path) -> None:
    written = write_simulation(tmp_path / "new" / "curves")
    read = read_curves(tmp_path / "new" / "curves")
    assert read.equals(written)
    curves = curves_by_key(read)
    expected = {(d, m, 0) for d in registered_datasets() for m in registered_models()}
    assert set(curves) == expected
    assert len(expected) == 9 * 70
    assert all(curve.complete for curve in curves.values())
    assert pc.unique(read["source"]).to_pylist() == ["simulated"]
    assert set(read["parameters"].to_pylist()) == {model.parameters for model in MODELS.values()}
    assert pc.min_max(read["accuracy"])["min"].as_py() > 0
    assert pc.min_max(read["accuracy"])["max"].as_py() < 1


def test_a_seed_gives_the_same_bytes_and_another_seed_other_numbers(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        write_simulation(tmp_path / name, seed=seed)
    first, again, other = (
        (tmp_path / name / simulation.FILE).read_bytes() for name in ("first", "again", "other")
    )
    assert first == again
    columns = ["test_loss", "step_seconds"]
    one, two = (pq.read_table(tmp_path / name, columns=columns)[:9] for name in ("first", "other"))
    assert not any(np.isin(one[name].to_numpy(), two[name].to_numpy()).any() for name in columns)
    assert first != other


def test_a_candidate_more_or_less_changes_no_other_ones_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = simulated_curves(0)
    kept = {name: model for name, model in MODELS.items() if model.family != "RoBERTa"}
    monkeypatch.setattr(simulation, "registered_models", lambda: kept)
    fewer = simulated_curves(0)
    assert fewer.equals(whole.filter(pc.is_in(whole["model"], pc.unique(fewer["model"]))))
    assert len(fewer) < len(whole)


def test_rows_trained_on_are_the_nested_landmarks_then_all() -> None:
    for (dataset, _), curve in curves_of(0).items():
        trained = curve.column("train_rows").tolist()
        sizes = landmark_rows(BY_NAME[dataset].train_rows)
        assert trained[:9] == [0, *sizes]
        assert set(trained[9:]) == {BY_NAME[dataset].train_rows}


def test_each_curve_ends_where_early_stopping_says_and_lengths_differ() -> None:
    settings = FineTuningSettings()
    lengths = set()
    for curve in curves_of(1).values():
        found = curve.column("test_loss").tolist()
        assert settings.is_complete(found)
        assert not any(settings.is_complete(found[:steps]) for steps in range(len(found)))
        lengths.add(len(found))
    assert lengths == set(range(12, 19))


def test_training_is_a_part_of_every_step_and_none_of_step_0() -> None:
    for curve in curves_of(0).values():
        train, whole = curve.column("train_seconds"), curve.column("step_seconds")
        assert train[0] == 0
        assert (train[1:] > 0).all()
        assert (whole > train).all()


@pytest.mark.parametrize("held", ["simulated.parquet", ".lamps", "notes.txt"])
def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path, held: str) -> None:
    (tmp_path / held).write_text("mine")
    with pytest.raises(BadInput, match=f"--out .* already holds {held}: name a new folder"):
        write_simulation(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [held]


def test_a_file_and_a_bad_seed_are_refused_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="is a file: name a folder"):
        write_simulation(tmp_path / "file")
    with pytest.raises(BadInput, match="--seed must be between 0"):
        write_simulation(tmp_path / "new", seed=-1)
    assert not (tmp_path / "new").exists()


def test_the_report_of_simulated_curves_says_what_they_are(tmp_path: Path) -> None:
    table = simulated_curves(0)
    pq.write_table(table.filter(pc.equal(table["dataset"], "trec")), tmp_path / "trec.parquet")
    page = Page(write_report(tmp_path))
    assert "70 curves simulated" in page.text


# --- losses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_larger_models_start_worse_and_end_better(seed: int) -> None:
    for dataset in BY_NAME:
        first, last = losses(seed, dataset, step=0), losses(seed, dataset)
        assert statistics.mean(first[m] for m in LARGE) > statistics.mean(first[m] for m in SMALL) + 0.3
        assert statistics.median(last[m] for m in LARGE) < statistics.median(last[m] for m in SMALL)


@pytest.mark.parametrize("seed", SEEDS)
def test_datasets_agree_on_candidates_in_part(seed: int) -> None:
    last = [list(losses(seed, dataset).values()) for dataset in BY_NAME]
    correlations = [spearman(*pair) for pair in itertools.combinations(last, 2)]
    assert 0.6 < statistics.median(correlations) < 0.9
    assert min(correlations) > 0.3
    assert max(correlations) < 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_differs_between_datasets(seed: int) -> None:
    assert len({min(found, key=found.__getitem__) for found in (losses(seed, d) for d in BY_NAME)}) >= 4


def test_a_small_model_wins_at_times() -> None:
    best = [min(found, key=found.__getitem__) for found in (losses(s, d) for s in SEEDS for d in BY_NAME)]
    small = sum(MODELS[model].parameters < 1e9 for model in best)
    assert 0 < small < len(best) / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_bodies_without_english_end_clearly_worse(seed: int) -> None:
    foreign = [name for name, model in MODELS.items() if set(model.languages) <= {"de", "ja", "zh"}]
    alike = [m for m in MODELS if MODELS[m].family in {"BERT", "LUKE", "DistilBERT"}]
    english = [m for m in alike if MODELS[m].languages == ("en",)]
    assert len(foreign) == 9
    for dataset in BY_NAME:
        last = losses(seed, dataset)
        assert statistics.median(last[m] for m in foreign) > statistics.median(last[m] for m in english)


def test_early_losses_tell_the_end_better_and_better() -> None:
    for dataset in BY_NAME:
        last = list(losses(0, dataset).values())
        told = [spearman(list(losses(0, dataset, step=step).values()), last) for step in (1, 5, 8)]
        assert told[0] < told[2]
        assert told[2] > 0.8
    strong = [
        dataset
        for dataset in BY_NAME
        if spearman(list(losses(0, dataset, step=3).values()), list(losses(0, dataset).values())) > 0.4
    ]
    assert len(strong) >= 4


def test_no_loss_is_below_its_datasets_floor() -> None:
    for (dataset, _), curve in curves_of(2).items():
        assert curve.column("test_loss").min() > BY_NAME[dataset].floor > 0


def test_many_losses_turn_upward_most_of_all_on_the_smallest_dataset_that_is_learnt_early() -> None:
    def rise(dataset: str) -> float:
        """From the best loss to the last, median share."""
        found = [c.column("test_loss") for (name, _), c in curves_of(0).items() if name == dataset]
        return float(np.median([curve[-1] / curve.min() - 1 for curve in found]))

    assert rise("cola") > max(rise("amazon_cell_phone"), rise("mmlu"), rise("clickbait")) > 0.01


def test_a_few_runs_come_to_nothing() -> None:
    """Away from MMLU and CoLA, whose weak candidates end near the entropy anyway."""
    flat = [
        losses(seed, name)[model] > 0.95 * BY_NAME[name].entropy
        for seed in SEEDS
        for name, model in itertools.product(set(BY_NAME) - {"mmlu", "cola"}, MODELS)
    ]
    assert 0.002 < statistics.mean(flat) < 0.03


def test_the_law_starts_with_the_head_loses_half_at_its_rows_and_tends_to_its_end() -> None:
    law = LossLaw(
        head=0.0, start=2.0, end=0.5, half_rows=1000, overfit=0.1, onset=3, flat_from=None, entropy=1.9
    )
    assert law.at(0, 0, 0) == pytest.approx(2.0)
    assert law.at(4, 1000, 0) == pytest.approx(1.25)
    assert law.at(10, 1e12, 3) == pytest.approx(0.5)
    assert law.at(12, 1e12, 5) == pytest.approx(0.7)
    flat = LossLaw(
        head=0.4, start=2.0, end=0.5, half_rows=1000, overfit=0.1, onset=3, flat_from=1, entropy=1.9
    )
    assert [flat.at(0, 0, 0), flat.at(1, 10, 0), flat.at(12, 1e6, 5)] == pytest.approx([2.4, 1.9, 1.9])


def test_overfitting_grows_with_the_body_and_falls_with_the_rows() -> None:
    def of(name: str, dataset: str) -> float:
        found = BY_NAME[dataset]
        law = loss_law(MODELS[name], body_of(MODELS[name]), found, seed=0, slow=False)
        return law.overfit / (found.floor + found.gap)

    assert of("facebook/opt-6.7b", "cola") > of("facebook/opt-125m", "cola") > of("facebook/opt-125m", "mmlu")


def test_the_slow_candidate_is_one_large_causal_model_and_learns_late() -> None:
    bodies = {name: body_of(model) for name, model in MODELS.items()}
    chosen = {simulation_loss.slow_candidate(seed, bodies) for seed in range(20)}
    assert len(chosen) > 5
    for name in chosen:
        assert name is not None
        assert not bodies[name].masked
        assert bodies[name].computed >= 9e8
        laws = [
            loss_law(MODELS[name], bodies[name], BY_NAME["trec"], seed=0, slow=slow) for slow in (False, True)
        ]
        assert laws[1].half_rows == pytest.approx(simulation_loss.SLOW_ROWS * laws[0].half_rows)


def test_noise_is_largest_early_and_on_few_test_rows() -> None:
    assert noise_sd(1, 500) > noise_sd(5, 500) > noise_sd(12, 500) > noise_sd(12, 15_786) > 0


def test_accuracy_falls_with_the_loss() -> None:
    for dataset in DATASETS:
        found = [accuracy_of(loss, dataset) for loss in np.linspace(0.01, 2 * dataset.entropy, 50)]
        assert found == sorted(found, reverse=True)


def test_every_family_and_language_of_the_registry_is_known() -> None:
    assert {model.family for model in MODELS.values()} == set(simulation_loss.FAMILY_QUALITY)
    foreign = {name for name, model in MODELS.items() if simulation_loss._language(model) == FOREIGN}
    assert foreign == {name for name, model in MODELS.items() if set(model.languages) <= {"de", "ja", "zh"}}


# --- facts and cost ----------------------------------------------------------------------------------------


def test_the_table_of_datasets_is_that_of_the_registry() -> None:
    assert set(BY_NAME) == set(registered_datasets())
    for dataset in DATASETS:
        assert 0 < dataset.floor < dataset.entropy <= np.log(dataset.classes) + 0.01
        assert 1 / dataset.classes <= dataset.majority < 1


def test_blocks_are_the_parameters_of_the_registry_less_embeddings() -> None:
    for name, model in MODELS.items():
        body = body_of(model)
        assert body.stored <= 1.01 * model.parameters, name
        embeddings = model.parameters - body.stored
        # BERT's 30,000 entries to Qwen2.5's 152,000 and LUKE's entities; positions and small parts.
        assert 0 <= embeddings < 1.3e6 * 300 + 3e5 * body.width, name


@pytest.mark.parametrize("seed", SEEDS)
def test_an_exhaustive_search_on_amazon_takes_the_papers_gpu_hours_within_15_percent(
    seed: int,
) -> None:
    paper = 5069.37 / 3.67  # section 6.2: dollars, at dollars a GPU hour
    assert paper / 1.15 < gpu_hours(seed, "amazon_cell_phone") < 1.15 * paper


def test_hours_in_the_summary_are_those_of_all_datasets() -> None:
    told = summary(simulated_curves(0))
    assert told["gpu_hours"] == pytest.approx(sum(gpu_hours(0, dataset) for dataset in BY_NAME))
    assert (told["candidates"], told["datasets"]) == (70, 9)
    assert told["steps"] == sum(len(curve.table) for curve in curves_of(0).values())


def test_large_models_use_the_gpu_better() -> None:
    bodies = sorted((body_of(model) for model in MODELS.values()), key=lambda body: body.computed)
    shares = [utilisation(body) for body in bodies]
    assert shares == sorted(shares)
    assert 0.02 < shares[0] < shares[-1] < 0.08


@pytest.mark.parametrize(
    ("parameters", "layers", "width", "gpus", "checkpointed"),
    [
        (335e6, 24, 1024, 1, False),
        (1.54e9, 28, 1536, 1, False),
        (3.2e9, 28, 3072, 2, False),
        (7.5e9, 32, 4096, 4, True),
    ],
)
def test_candidates_take_the_gpus_that_fp32_adamw_needs(
    parameters: float, layers: int, width: int, gpus: int, checkpointed: bool
) -> None:
    plan = plan_of(int(parameters), of_size(parameters, layers, width), 512)
    assert (plan.gpus, plan.checkpointed) == (gpus, checkpointed)
    assert 16 * parameters < plan.memory_bytes < gpus * 40e9


def test_shared_layers_are_never_checkpointed_and_what_fits_nowhere_is_said() -> None:
    assert not any(
        plan_of(model.parameters, body_of(model), 512).checkpointed
        for model in MODELS.values()
        if model.family == "ALBERT"
    )
    with pytest.raises(ValueError, match="do not fit eight GPUs"):
        plan_of(70_000_000_000, of_size(70e9, 80, 8192), 512)


def test_a_step_costs_what_is_counted_by_hand() -> None:
    body, dataset = of_size(1e8, 10, 768), BY_NAME["mmlu"]  # padded to 512 tokens
    cost = step_cost(120_000_000, body, dataset, rows=320, step=3)
    operations = 6 * 1e8 * 320 * 512
    assert cost.train_flops == pytest.approx(operations)
    assert cost.train_seconds == pytest.approx(operations / (312e12 * 0.04) + 10 * 10 * 2.5e-3)
    assert cost.overhead_seconds == pytest.approx(8 + 24 * 0.12)
    nothing = step_cost(120_000_000, body, dataset, rows=0, step=0)
    assert (nothing.train_seconds, nothing.train_flops) == (0, 0)
    assert nothing.evaluate_seconds == cost.evaluate_seconds
