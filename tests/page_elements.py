"""What a page is made of, as the tests of pages look at it."""

import html.parser
import re


class Elements(html.parser.HTMLParser):
    """Every element's name and attributes, and all text."""

    def __init__(self, page):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def attributes(self, *names):
        return [attrs[name] for _, attrs in self.found for name in names if name in attrs]


def foreign(page):
    """What is not of the template: scripts besides its two, handlers, and what is loaded from anywhere."""
    elements = Elements(page)
    scripts = [attrs for tag, attrs in elements.found if tag == "script"]
    handlers = [name for _, attrs in elements.found for name in attrs if name.startswith("on")]
    loaded = elements.attributes("src", "href", "srcset", "poster", "data", "action", "xlink:href")
    loaded = [url for url in loaded if not url.startswith(("data:", "#"))]
    styles = re.findall(r"@import|url\(", re.sub(r"data:[^\"]*", "", page))
    return scripts[2:] + handlers + loaded + styles
