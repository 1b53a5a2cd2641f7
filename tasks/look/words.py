"""Keep the fixed sentences of the page: what each kind of finding means, and what to do.

What it means that an image is left out stands in `REASONS` of `tasks.report.words`.
"""

MEANINGS = {
    "refused": "`harvest run` stops before it trains.",
    "misregistered": "Crops of these dates show their plants beside the middle. Look at the detail of the map before "
    "you set the shift: rows of plants look alike one spacing further.",
    "blurred": "The images have far less fine detail than the others: out of focus, moved, or nearly empty.",
    "size": "All images are resized to one size, so plants appear larger or smaller in these than in others.",
    "format": "Other formats often come from another camera or program, with other colours.",
    "crop_leaves_raster": "A part of the crop lies outside the orthophoto and is black.",
    "mostly_no_data": "More than half of the crop is black or without data.",
    "known_blurry": "The data set's authors name these images as blurry.",
    "two_plants": "The data set's authors saw two plants in these images.",
    "one_date": "Either the plant was cut or lost, or its name is written differently on other dates.",
    "same_place": "Either a plant has two names, or a position is wrong.",
    "row_without_plant": "The harvest table names these plants, and no image shows them on the campaign's dates.",
    "plant_without_row": "The plants have images and no label, because the harvest table does not name them.",
    "near_names": "Names that differ only in case, separators or leading zeros. Write them alike.",
}
