"""A comparison in files for other programs."""

# Signs that look like others are part of what is tested.
# ruff: noqa: RUF001

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from reports import VALUES

from ganzoo.errors import UserError
from ganzoo.evaluation.document import ComparisonDocument
from ganzoo.evaluation.exports import (
    FORMATS,
    check_formats,
    escape_tex,
    renew_exports,
    tex_table,
    values_csv,
)
from ganzoo.evaluation.plots import all_plots


def test_all_formats_are_written(comparison: ComparisonDocument, tmp_path: Path) -> None:
    written = renew_exports(comparison, tmp_path, FORMATS)
    assert sorted(written) == sorted((tmp_path / "exports").iterdir())
    names = {plot.name for plot in all_plots(comparison)}
    assert {path.name for path in written} == {
        *("table.tex", "values.csv"),
        *(f"{name}.{kind}" for name in names for kind in ("svg", "pdf")),
    }
    assert len(names) > 10


def test_nothing_is_written_that_was_not_asked_for(
    comparison: ComparisonDocument, tmp_path: Path
) -> None:
    assert renew_exports(comparison, tmp_path, []) == []
    assert list(tmp_path.iterdir()) == []
    assert renew_exports(comparison, tmp_path, ["tex"]) == [tmp_path / "exports" / "table.tex"]


def test_what_was_exported_before_is_renewed_and_goes_with_its_comparison(
    comparison: ComparisonDocument, tmp_path: Path
) -> None:
    table, values = (tmp_path / "exports" / name for name in ("table.tex", "values.csv"))
    renew_exports(comparison, tmp_path, ["csv"])
    mine = tmp_path / "exports" / "notes.txt"
    mine.write_text("mine")
    comparison["models"][0]["label"] = "renamed"
    assert renew_exports(comparison, tmp_path, ["tex"]) == [table, values]
    assert "renamed" in values.read_text()
    assert renew_exports(comparison, tmp_path, ["tex"], replace=True) == [table]
    assert not values.exists()
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("formats", [["png"], ["tex", ""], ["TEX"]])
def test_an_unknown_format_is_refused(formats: list[str]) -> None:
    with pytest.raises(UserError, match="a comparison is not exported as '") as caught:
        check_formats(formats)
    assert caught.value.hint == "--export tex,csv,svg,pdf"


def test_a_row_for_each_run_and_value(comparison: ComparisonDocument) -> None:
    comparison["models"][0]["runs"][1]["values"][VALUES[0]] = math.nan
    comparison["models"][1]["runs"][0]["values"] = {}  # it failed
    rows = list(csv.DictReader(io.StringIO(values_csv(comparison))))
    assert len(rows) == 3 * 2 * 3 - 3
    run = comparison["models"][0]["runs"][0]
    assert rows[1] == {
        "model": "digits-vae", "recipe": "digits-vae", "prior": "latent", "seed": "0",
        "run": run["path"], "iteration": "20", "metric": VALUES[0], "label": "FID",
        "better": "lower", "value": repr(run["values"][VALUES[0]]),
    }  # fmt: skip
    assert rows[4]["value"] == "nan"
    assert {row["better"] for row in rows} == {"lower", "higher", ""}


def lines(comparison: ComparisonDocument) -> list[str]:
    return [" ".join(line.split()) for line in tex_table(comparison).splitlines()]


def test_the_table_is_one_of_booktabs(comparison: ComparisonDocument) -> None:
    table = lines(comparison)
    assert table[0] == f"% {comparison['command']}"
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{l*{3}{r}}"):
        assert rule in table
    place = table.index(r"FID $\downarrow$")
    assert table[place + 1 : place + 4] == ["& 10", "& 9", r"& \textbf{1,234}"]
    assert table[place + 4] == r"\\"
    assert table[place + 5] == r"& {\footnotesize 9.90 to 10.1}"
    assert r"Recall $\uparrow$" in table
    assert not any("Sharpness" in line for line in table)  # it does not judge
    assert any("with 2 seeds each" in line and r"8$\times$8" in line for line in table)
    assert any("95\\,\\% intervals. A mean is bold where" in line for line in table)


def test_one_seed_has_no_intervals(comparison: ComparisonDocument) -> None:
    for model in comparison["models"]:
        del model["runs"][1]
        for each in model["summaries"].values():
            each |= {"low": None, "high": None, "std": None, "seeds": 1}
    text = tex_table(comparison)
    assert "Values for one seed." in text
    assert "footnotesize" not in text


def test_what_is_named_by_people_is_no_latex(comparison: ComparisonDocument) -> None:
    comparison["models"][0]["label"] = r"a_b & \input{x} 50% #1 $x^2$ ~"
    comparison["command"] = "ganzoo compare 'a\n\\input{x}'"
    table = tex_table(comparison)
    for wrong in (r"\input", "a_b", "50% "):
        assert wrong not in table
    assert r"a\_b \& \textbackslash{}input\{x\}\\50\% \#1 \$x\textasciicircum{}2\$ \text" in table
    assert table.splitlines()[0].endswith(r"\textbackslash{}input\{x\}'")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("−3.2×10⁻⁷", r"$-$3.2$\times$10$^{-}$$^{7}$"),
        ("kl(P||G) \\", r"kl(P\textbar{}\textbar{}G) \textbackslash{}"),
        ("<b>", r"\textless{}b\textgreater{}"),
        ("a\n\t b", "a b"),
        (7, "7"),
    ],
)
def test_signs_of_latex(text: object, escaped: str) -> None:
    assert escape_tex(text) == escaped
