"""Names as strangers may choose them, each with what some medium would obey."""

NAMES = (
    "price $5 and $10",  # a formula to matplotlib
    "$\\frac{",  # one that ends a drawing
    "a_b & 50% #1 {x} ^ ~ \\input{y}",
    "[4pt] first",  # at the start of a LaTeX row
    "a|b **bold** _it_ `code` ~~gone~~",
    "[click](https://example.org) ![x](y) www.example.org",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    '"><b onclick="x">&amp;',
    "{{ title }}{% for x in y %}",
    "\x1b[31mred\x1b]0;title\x07\r\x08",  # terminal codes
    "two\nlines",
    "right \u202e left \u9053\u8def \U0001f600",  # writes backwards; glyphs that a font may lack
    "nul \x00 byte",
    "caf\udce9.jpg",  # a file name that is not UTF-8
    "- item",
    "# heading",
)
