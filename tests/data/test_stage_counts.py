"""Pages of stages that work side by side add up to the book of stages that follow each other."""

from overt.data.records import Drop, Failure
from overt.data.run.stage_counts import StageCounts


def first(book):
    book.enter("audit", "a", 3)
    book.lose(Drop("1", "audit", "a", "judged unsafe"))
    book.lose(Failure("2", "audit", "a", "server", "503"))
    book.leave("audit", "a")


def second(book):
    book.enter("dedupe", "a", 2)
    book.lose(Drop("3", "dedupe", "a", "near repeat"))
    book.lose(Drop("1", "audit", "b", "judged unclear"))
    book.lose(Drop("1", "audit", "b", "judged unsafe"))


def test_pages_add_up():
    one, pages = StageCounts(), [StageCounts(), StageCounts()]
    for work, page in zip((first, second), pages, strict=True):
        work(one)
    second(pages[1])  # the later stage may end first
    first(pages[0])
    both = StageCounts()
    for page in pages:
        both.add(page)
    assert both.drops == one.drops
    assert both.failures == one.failures
    assert both.table(["a", "b"]) == one.table(["a", "b"])
    assert list(both.why()["audit"].items()) == list(one.why()["audit"].items())
    by = Drop("9", "audit", "b", "no unsafe twin passed")
    for book in (one, both):
        book.overrule("1", by)
    assert both.drops == one.drops
    assert both.why() == one.why()
