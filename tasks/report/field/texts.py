"""Keep every text of the field page in one place, also those that its scripts say: a translation is this file.

A text has places for values in braces. A key that ends in `.one` is used where the value `n` is 1.
"""

from typing import Any

TEXTS = {
    "language": "en",
    # Head.
    "title": "{campaign}: in the field",
    "kicker": "Harvest reliability",
    "to-analysis": "How these answers were made, and how good they are",
    "date": "Date",
    "earlier": "{n} earlier dates",
    "earlier.one": "{n} earlier date",
    "to-latest": "To the latest dates",
    "lead.harvest": "{n} plants to harvest",
    "lead.harvest.one": "{n} plant to harvest",
    "lead.other": "{n} of {total} plants have an answer to act on",
    "lead.other.one": "{n} of {total} plants has an answer to act on",
    "lead.none": "No plant has an answer on this date",
    "decision.harvest": "harvest",
    "decision.leave": "leave",
    "decision.check": "check",
    "meaning.harvest": "ready, and certain enough to act on",
    "meaning.leave": "not ready, and certain enough to act on",
    "meaning.check": "nothing is promised: look at the plant",
    "meaning.other": "certain enough to act on",
    # What is promised.
    "promise": "At least {right} of 100 answers{which} acted on are right.",
    "promise.evidence": "Tested on {plants} validation plants: {wrong} of their {answered} answers were wrong. The "
    "promise holds with a confidence of {confidence} %.",
    "promise.which": " “{answer}”",
    "promise.lacking": "No answer{which} can be acted on yet: it is not shown that at most {tolerated} of 100 would be "
    "wrong.",
    "promise.more": "About {n} more checked validation plants would show it, if errors stay as frequent.",
    "promise.more.one": "About {n} more checked validation plant would show it, if errors stay as frequent.",
    "promise.never": "More checked plants alone would not change that: tolerate more errors, or check by hand.",
    # What people found at plants that were drawn at random.
    "checked": "Checked: {right} of {n} plants drawn at random are as answered.",
    "checked.one": "Checked: {right} of {n} plant drawn at random is as answered.",
    "checked.missing": "{n} more were not looked at.",
    "checked.missing.one": "{n} more was not looked at.",
    "checked.estimate": "So {low} to {high} of 100 answers to act on are wrong on this date.",
    "checked.known": "So {low} of 100 answers to act on are wrong on this date.",
    "checked.broken": "The promise is broken on this date: about {share} of 100 answers{which} acted on are wrong. At "
    "most {most} were promised. Look at plants before you act on their answers.",
    "checked.broken.all": "The promise is broken over all dates with checks: about {share} of 100 answers{which} acted "
    "on are wrong. At most {most} were promised. Look at plants before you act on their answers.",
    # What to know about a date.
    "ready": "About {expected} of {n} plants are ready ({low} to {high}), certain or not.",
    "ready.wide": "How many of {n} plants are ready cannot be told closely: {low} to {high}.",
    "ready.unknown": "How many plants are ready is not known, because the date is outside what was validated.",
    "right": "Of the {n} answers to act on, about {right} are expected to be right.",
    "right.one": "Of the {n} answer to act on, about {right} is expected to be right.",
    "corrected.none": "No answer of the classifier was corrected.",
    "corrected": "{n} answers were corrected where the classifier is probably wrong: {to}.",
    "corrected.one": "{n} answer was corrected where the classifier is probably wrong: {to}.",
    "corrected.to": "{count} to {answer}",
    "unanswered": "{n} more plants have no answer here because the classifier was trained on them.",
    "unanswered.one": "{n} more plant has no answer here because the classifier was trained on it.",
    "left-out": "Left out: {reasons}.",
    "left-out.why": "Why",
    "incomplete": "Pictures are missing: {mark} have one on this date. All numbers are of these plants alone.",
    "outside": "This date is unlike what was validated: {reasons}. Look at some plants before relying on any of these "
    "answers.",
    "outside.clusters": "plants fall into other clusters than in validation",
    "outside.novelty": "too many saliency maps are unlike every validation map",
    "outside.answers": "the classifier’s answers have other shares than in validation",
    "outside.share": "the share of ready plants is far from that on every validation date",
    "lost": "Not shown: {dates}. The artefacts of these scored dates are no longer in the store. Score them again.",
    "lost.one": "Not shown: {dates}. The artefacts of this scored date are no longer in the store. Score it again.",
    "method": "Answers, map and lists come from the campaign’s first saliency method, {method}.",
    # Why a plant is to be checked.
    "reason.unsure": "The answer is not certain enough.",
    "reason.unpromised": "No answer of this kind can be acted on yet.",
    "reason.novel": "The picture is unlike everything that was validated.",
    "reason.reviewed": "A person reviewed such plants and doubts the answer.",
    "reason.outside": "The date is unlike what was validated.",
    # Lists.
    "lists": "Plants",
    "list.harvest": "To harvest",
    "list.leave": "To leave",
    "list.class": "Answer {answer}",
    "list.check": "To check",
    "list.extra": "Extra checks, drawn at random",
    "list.how.walk": "In walking order: plot by plot, row by row, each second row backwards.",
    "list.how.check": "Ordered by what a look is worth per metre walked. A look is worth the probability that the "
    "answer is wrong. From each plant the walk goes on to the one where that is most per metre, with a look counted as "
    "{metres} metres. Plants without a position come last, the least sure first.",
    "list.how.extra": "Looks at doubtful plants alone do not tell whether the promise is kept. These plants were drawn "
    "at random from those to act on. Look at them too.",
    "list.none": "No plant.",
    "list.none.filtered": "No plant here has what you look for.",
    "list.more": "Show {n} more of {left}",
    "list.static": "The first {n} of {total} plants are listed. All are in the files of this date: {folder}",
    "list.outside-page": "The field has {total} plants, too many for a page. This page has {shown} of them: those of "
    "the latest date to act on and to check first, in walking order, then others spread evenly over the field. All "
    "counts include all plants, and the files of each date in {folder} list them.",
    "pictures.without": "{n} plants have no picture here, to keep the page small. The plant explorer shows them all.",
    "pictures.without.one": "{n} plant has no picture here, to keep the page small. The plant explorer shows them all.",
    "filter": "Find plants",
    "filter.plot": "Plot",
    "filter.plot.all": "all plots",
    "filter.plot.none": "no plot",
    "filter.decision": "List",
    "filter.decision.all": "to act on and to check",
    "filter.text": "Plant or row",
    "filter.sort": "Order",
    "sort.listed": "as described",
    "sort.walk": "walking order",
    "sort.unsure": "least sure first",
    "sort.sure": "surest first",
    "place.plot": "plot {plot}",
    "place.row": "row {row}, plant {number}",
    "place.no-plot": "No plot",
    "plot": "Plot {plot}",
    "likely": "{answer} {percent}",
    "likely.over": "over 99 %",
    "likely.under": "under 1 %",
    "likely.percent": "{percent} %",
    "ready.word": "ready",
    # Card of a plant.
    "card.close": "Close",
    "card.next": "Next",
    "card.previous": "Previous",
    "card.picture": "Picture of the plant",
    "card.no-picture": "This page has no picture of the plant on this date.",
    "card.overlay": "Show where the classifier looked",
    "card.decision": "{decision}: {likely}",
    "card.corrected": "The answer was corrected: the classifier said otherwise.",
    "card.extra": "Extra check, drawn at random: it shows whether the promise is kept.",
    "card.no-answer": "The plant has no answer on this date.",
    "card.earlier": "Other dates",
    "card.explorer": "The plant in the explorer",
    # What was found.
    "found": "What did you find?",
    "found.yes": "ready",
    "found.no": "not ready",
    "found.remark": "Remark",
    "found.name": "Your name",
    "found.keep": "Keep",
    "found.remove": "Remove what was found",
    "found.choose": "Choose what you found first.",
    "found.name.needed": "Give your name first: it is kept with what you find.",
    "found.kept": "Found: {found}.",
    "found.count": "{n} looks recorded on this date, {unsaved} not saved to a file yet.",
    "found.count.one": "{n} look recorded on this date, {unsaved} not saved to a file yet.",
    "found.elsewhere": "{n} more on other dates are not saved yet.",
    "found.elsewhere.one": "{n} more on another date is not saved yet.",
    "found.save": "Save what was found",
    "found.undo": "Undo the last one",
    "found.memory": "This browser keeps nothing: save before you close the page.",
    "found.file": "checks-{campaign}-{date}.csv",
    # Work sheet.
    "sheet.name": "Name",
    "sheet.date": "Date",
    "sheet.done": "done",
    "sheet.plant": "plant",
    "sheet.row": "row",
    "sheet.number": "number",
    "sheet.likely": "answer",
    "sheet.remark": "remark",
    "sheet.print": "Print the work sheets",
    # Map. Its script and its template say these.
    "map": "Map",
    "map.none": "There is no map: the source gives no plant a position.",
    "map.still": "Map of {label}. The fuller a mark, the surer its answer; grey dots have none on that date.",
    "map.label": "Map of the plants by their place in the field",
    "map.help": "Drag the map or spread two fingers on it; tap a plant to see its answer. A ring with a number stands "
    "for so many plants, and its colours for their decisions: zoom in to see them. With the keyboard: arrow keys go "
    "from plant to plant, + and − zoom, 0 shows the whole field, Escape leaves the plant. Grey dots are plants that "
    "are not chosen above, or have no answer on that date.",
    "map.show": "Show",
    "map.photo": "orthophoto",
    "map.photo.fault": "There is no orthophoto behind the map on this date, because it could not be read: {fault}. The "
    "next run tries again.",
    "map.photo.no-room": "The orthophoto of this date has no room in this page, which holds the latest ones.",
    "map.fillings": "The fuller a mark, the surer its answer:",
    "map.or-less": "or less",
    "map.in": "Zoom in",
    "map.out": "Zoom out",
    "map.whole": "Whole field",
    "map.here": "Where am I?",
    "map.plot": "Plot {plot}",
    "map.row": "Row {row}",
    "map.plant": "{plant}: {decision}, reliability {reliability} %.",
    "map.waiting": "Asking this device where it is …",
    "map.next": "{metres} m {direction} to {plant}.",
    "map.at": "You are at {plant}.",
    "map.accuracy": "This device knows its place to {metres} m.",
    "map.far": "You are about {km} km from the middle of this field.",
    "map.position.denied": "This device does not tell the page where it is. Allow it in the settings of the browser.",
    "map.position.unknown": "This device does not know where it is.",
    "map.position.late": "This device has not found out where it is in 30 seconds. Try again under the open sky.",
    "map.north": "north",
    "map.north-east": "north-east",
    "map.east": "east",
    "map.south-east": "south-east",
    "map.south": "south",
    "map.south-west": "south-west",
    "map.west": "west",
    "map.north-west": "north-west",
    "map.unplaced": "{n} of {total} plants have no known position and are not on the map.",
    "map.unplaced.one": "{n} of {total} plants has no known position and is not on the map.",
}
LEFT_OUT = {  # reasons of the table `rejected`
    "harvested": "harvested already",
    "same_day": "harvested on that day",
    "ambiguous": "whether it was ready is not known",
    "duplicate": "picture given twice",
    "unreadable": "picture damaged",
    "not_an_image": "no picture",
    "too_small": "picture too small",
    "too_large": "picture too large",
    "blank": "picture empty",
    "missing_file": "picture missing",
    "missing_raster": "no orthophoto of the plot",
    "unreadable_raster": "orthophoto damaged",
    "outside_raster": "outside the orthophoto",
    "flag_turns_off": "harvest records contradict each other",
    "two_harvest_dates": "two harvest dates",
    "two_observations": "two observations that contradict each other",
    "flag_contradicts_date": "harvest flag and date contradict each other",
    "not_in_manifest": "not in the source’s list",
    "no_split_folder": "in no folder of a split",
    "no_class_folder": "in no folder of a class",
}


def text(key: str, **values: Any) -> str:
    """Return a text of the field page with its values; whole numbers get separators of thousands.

    Raises
    ------
    KeyError : there is no such text, or a value is missing.
    """
    found = TEXTS.get(f"{key}.one") if values.get("n") == 1 else None
    return (found or TEXTS[key]).format(**{name: _shown(value) for name, value in values.items()})


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def likely_text(share: float) -> str:
    """Return a probability for readers in whole percent; nothing is said to be certain."""
    if share >= 0.995:
        return text("likely.over")
    return text("likely.under") if share < 0.005 else text("likely.percent", percent=int(100 * share + 0.5))


def decision_name(decision: str) -> str:
    """Return the name of a decision for readers; a class names itself."""
    return TEXTS.get(f"decision.{decision}", class_name(decision))


def class_name(name: str) -> str:
    """Return the name of a class for readers."""
    return name.replace("_", " ")


def left_out_name(reason: str) -> str:
    """Return for readers why plants were left out, by the word of the table `rejected`."""
    return LEFT_OUT.get(reason, reason.replace("_", " "))
