"""Forms: what a JSON Schema, as pydantic writes it, asks of a person, and whether an answer fits.

One reader of schemas (`schema` reads the records of `parts`, `references` follows what points
elsewhere), one of values (`values`: what somebody typed, as JSON, and back), one title of a
question (`title`), one check (`answers`, with what `validator` compiles and `formats` knows beside
it). The page, the command line, the API and the flow itself all use these, so that a question asks
for the same and an answer means the same wherever it is given. Nothing here waits, stores or shows.
"""
