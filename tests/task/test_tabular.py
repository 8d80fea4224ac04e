"""The tasks `tabular.*`, typed one after the other as somebody does who begins with a document."""

import pickle

import pytest

pandas = pytest.importorskip("pandas")


def test_from_a_first_document_to_the_difference_of_two_runs(checkout, tmp_path):
    project = tmp_path / "gauges"
    checkout.invoke("tabular.init", str(project))
    document = ["-c", str(project / "earthmover.yaml")]
    checkout.invoke("tabular.compile", *document)
    assert "- operation: map_values" in (project / "earthmover_compiled.yaml").read_text()
    assert "Boulder" in checkout.invoke("tabular.show", "counties", *document).stdout  # a destination is called so too
    shown = checkout.invoke("tabular.show", "transformations.counties", "--limit", "1", *document).stdout
    assert shown.splitlines()[0].split() == ["county", "days", "most_mm", "gauges"] and len(shown.splitlines()) == 3
    for half in (["--set", "config.tmp_dir"], ["--set", "a", "--set", "b"]):
        assert "hint: write `--set PATH=VALUE`" in checkout.type("tabular.run", *document, *half).stderr
    first = checkout.invoke("tabular.run", *document, "-r", str(tmp_path / "first.json"))
    assert "[+] $destinations.counties  2 rows" in first.stderr
    assert checkout.type("tabular.run", *document).returncode == 99
    assert "unchanged" not in checkout.invoke("tabular.run", *document, "--force").stderr
    (project / "output").rename(tmp_path / "before")
    wetter = ["--params", '{"WET_FROM": "100"}', "--set", "destinations.days.extension=json", "-k", "-s", "destinations.days"]
    checkout.invoke("tabular.run", *document, *wetter)
    assert [one.name for one in (project / "output").iterdir()] == ["days.json"]
    checkout.invoke("tabular.run", *document, "--force", "--params", '{"WET_FROM": "100"}')
    differing = checkout.type("tabular.diff", str(tmp_path / "before"), str(project / "output"))
    assert differing.returncode == 1
    assert "counties.jsonl  2 rows, the same\n" in differing.stdout
    assert "days.jsonl  5 -> 5 rows: 3 added, 3 removed, 0 changed, 2 the same\n" in differing.stdout
    checkout.invoke("tabular.graph", *document)
    assert "flowchart" in "".join(one.read_text() for one in (*project.glob("*.md"), *checkout.root.glob("graph.md")))
    checkout.invoke("tabular.clean", *document)
    assert not list((project / "output").glob("*.jsonl"))


def test_what_can_run_code_wants_trust(checkout, tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(pandas.DataFrame({"gauge": ["G1"], "mm": [3]})))
    (tmp_path / "p.yaml").write_text(
        "version: 2\nconfig: {output_dir: out}\nsources: {a: {file: a.pkl}}\n"
        "destinations: {a: {source: $sources.a, extension: jsonl}}\n"
    )
    refused = checkout.type("tabular.run", "-c", str(tmp_path / "p.yaml"))
    assert refused.returncode == 255 and "--trust" in refused.stderr
    checkout.invoke("tabular.run", "-c", str(tmp_path / "p.yaml"), "--trust")
    assert (tmp_path / "out/a.jsonl").read_text() == '{ "gauge": "G1", "mm": "3" }\n'
