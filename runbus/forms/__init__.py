"""Forms: what a JSON Schema, as pydantic writes it, asks of a person, and whether an answer fits.

One reader of schemas (`schema` reads the records of `parts`, `references` follows what points
elsewhere), one of values (`values`: what somebody typed, as JSON, and back), one title of a
question (`title`), one check (`answers`, with what `validator` compiles), which leaves the form's
`defaults` to the flow. What JSON Schema cannot say stands in the form as `form_schema` writes it,
and is judged by `core_types`, `keywords` and `formats`. What people are told stands in `catalogue`;
`refusal` makes sentences of it.

The page, the command line, the API and the flow itself all use these, so that a question asks
for the same and an answer means the same wherever it is given. Nothing here waits, stores or shows.
"""
