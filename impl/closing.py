"""What `invoke all.build` says at its end: what there is now, and what to try next."""

from typing import Any

QUERY = (
    "select name, max(max_daily_high_temperature_kelvin) as hottest from macav2_county"
    " join region_county using (gis_join) group by name order by hottest desc limit 5"
)


def summary_of(env: Any, summary: Any) -> str:
    """Collections with their rows, the seconds, and three commands to go on with."""
    from impl.store import open_store
    from impl.store.rejected import is_rejected

    store = open_store(env.store)
    if summary.made:
        store.tidy()  # rows of killed loads, and of versions older than a week
    lines = [""]
    for name in store.names():
        facts = store.facts(name)
        marks = [*(["rejected rows"] if is_rejected(name) else []), *(["synthetic sample"] if facts.synthetic else [])]
        marked = f"  ({', '.join(marks)})" if marks else ""
        lines.append(f"  {name:<20} {facts.rows:>12,} rows  {facts.fingerprint[:12]}{marked}")
    made, kept = len(summary.made), len(summary.kept)
    lines += [
        "",
        f"{made} checkpoints made, {kept} up to date, in {summary.seconds:.1f} s. Next:",
        "",
        f'  invoke store.query "{QUERY}"',
        "  invoke macav2.map --variable mean_daily_high_temperature_kelvin --date 2005-07-15",
        "  ETL_SOURCE=remote invoke region.stage     # real boundaries; docs/macav2.md tells how to get real climate",
    ]
    return "\n".join(lines)
