"""Keep a store whole and small: read a part of it again each night, repair what is damaged, remove what is old.

A run whose store is away begins again by itself, as other runs do (see `flows.running.faults`).
"""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from flows.notices import tell_webhook
from flows.running.faults import put_off_by_faults
from flows.running.restarts import refuse_endless_restarts
from flows.upkeep.params import UpkeepParams
from flows.upkeep.repairs import repair
from storage.artifacts import Store
from storage.errors import ArtifactError
from storage.garbage import find_garbage, remove_garbage
from storage.places.faults import is_away, size_text
from storage.records.notices import DAMAGED, keep_notice, make_notice
from storage.records.upkeep import Damage, Upkeep, read_upkeep, write_upkeep
from storage.rounds import Read, look_again, read_on
from tasks.parameters import Runtime

DEFAULT_PARAMS, DEFAULT_RUNTIME = UpkeepParams(), Runtime()
TRIES = 7  # nights on which the repair of the same damage is tried; then it is a person's
SHOWN = 20  # damaged folders that a notice names; the artifact and the state in the store name all
NOTHING = "the store has no artefacts: no campaign was run"
Told = dict[str, list[str]]  # what a run did, by heading


@flow(name="keep-store", flow_run_name="keep store")
@put_off_by_faults
def keep_store(store: str, params: UpkeepParams = DEFAULT_PARAMS, runtime: Runtime = DEFAULT_RUNTIME) -> Told:
    """Read the next part of a store again, have damaged results made again, and remove what nothing rests on.

    Damage is kept in the store until it is gone. It is told once, with the folder, the file and what was done about it.
    Its repair is tried on several nights. A run that is killed continues where it last saved its state.

    Parameters
    ----------
    runtime : settings of the runs that make damaged results again.

    Returns
    -------
    Sentences about what was read, was damaged, and was removed.

    Raises
    ------
    AwayError : the folder of the store is missing, empty or without its artefacts, or went away meanwhile.
    """
    refuse_endless_restarts()
    opened = Store(store)
    opened.check()
    if is_new(opened):
        return show({"Read again": [NOTHING]})
    opened.refuse_absence()
    state = read_upkeep(opened)
    read = read_on(opened, state, round(params.verify_gb * 1e9))
    look_again(opened, state)
    found = {place: one for place, one in state.damaged.items() if one.n_tries < TRIES}
    said = mend(opened, state, found, runtime) if found else []
    return show(
        {
            "Read again": read_sentences(state, read),
            "Damaged": said,
            "Removed": collect_garbage(opened, params) if params.gc_days else ["nothing: it is turned off"],
        }
    )


def is_new(store: Store) -> bool:
    """Return whether a store is there, a bucket or a folder that is not empty, and no campaign ended in it.

    A store with records of campaigns and no artefacts has lost these, or they lie on a disk that is not mounted.

    Raises
    ------
    OSError : the disk or the network share does not answer.
    """
    is_there = not isinstance(store.root, Path) or not is_away(store.root)
    return is_there and not any((store.root / name).is_dir() for name in ("artifacts", "campaigns"))


def mend(store: Store, state: Upkeep, found: dict[str, Damage], runtime: Runtime) -> list[str]:
    """Have damage repaired, tell people of what is new, and return a sentence for each damaged folder or record."""
    for place, one in found.items():
        get_run_logger().error("damaged: %s: %s", place, "; ".join(one.problems))
    done = repair(store, list(found), runtime)
    look_again(store, state)
    said = {
        place: f"{place}: {'; '.join(one.problems)}. "
        f"{'For a person' if place in state.damaged else 'Whole again'}: {' '.join(done[place].split())}"
        for place, one in found.items()
    }
    if new := [place for place, one in found.items() if one.n_tries == 0]:
        tell(store, [said[place] for place in new], n_left=sum(place in state.damaged for place in new))
    for place in found.keys() & state.damaged.keys():
        state.damaged[place].n_tries += 1
    write_upkeep(store, state)
    return list(said.values())


def tell(store: Store, said: list[str], n_left: int) -> None:
    """Write a notice of damage into the store, and post it to the webhook, if the server has one."""
    more = [f"and {len(said) - SHOWN} more: see the artifact of this run"] if len(said) > SHOWN else []
    head = f"{len(said)} damaged, {len(said) - n_left} of them whole again, {n_left} for a person"
    message = "\n".join([head, *said[:SHOWN], *more])
    url = url_for("flow-run", flow_run.id) or ""
    keep_notice(store, make_notice(DAMAGED, "keep store", message, url=url))
    tell_webhook(f"{DAMAGED}: {message}\n{url}")


def read_sentences(state: Upkeep, read: Read) -> list[str]:
    """Say what was read, how far the round is, and how much damage is left."""
    size = size_text(read.n_bytes)
    where = "the round is complete" if read.is_complete else f"the next run goes on after {state.after}"
    left = f"{len(state.damaged)} folders and records are damaged{': ' * bool(state.damaged)}{', '.join(state.damaged)}"
    return [f"{read.n_folders} folders, {size}; {where}", left]


def collect_garbage(store: Store, params: UpkeepParams) -> list[str]:
    """Remove what is old and nothing rests on, and say what it was; nothing where a record cannot be read."""
    try:
        found = find_garbage(store, datetime.now(UTC), params.gc_days, params.gc_fits)
    except ArtifactError as error:
        return [f"nothing, because it is not known what is needed: {error}"]
    remove_garbage(store, found)
    kinds = sorted({ref.kind for ref in found.artifacts})
    counts = {kind: sum(ref.kind == kind for ref in found.artifacts) for kind in kinds}
    return [
        f"{size_text(found.n_bytes)}, older than {params.gc_days} days",
        f"artefacts: {', '.join(f'{n} {kind}' for kind, n in counts.items()) or 'none'}",
        f"{len(found.records)} records of dates scored by earlier fits, {len(found.results)} cached results, "
        f"{len(found.leftovers)} leftovers of killed runs and notes of use",
    ]


def show(told: Told) -> Told:
    """Log what was done, and show it among the flow run's artifacts."""
    for heading, lines in told.items():
        for line in lines:
            get_run_logger().info("%s: %s", heading.lower(), line)
    text = "\n\n".join(
        "\n".join([f"## {heading}", "", *(f"- {line}" for line in lines)]) for heading, lines in told.items()
    )
    create_markdown_artifact(text, key="upkeep", description="the store")
    return told
