"""What is counted of the language of the code is what it says it is."""

from __future__ import annotations

import language


def test_conditional_expressions_parallel_assignments_and_single_letters_are_counted() -> None:
    counted = language.count("a, b = 1, 2\n\nlong_name = 1 if b else 2\nsquares = [x for x in ()]\n")
    assert (counted.lines, counted.conditional_expressions, counted.parallel_assignments) == (3, 1, 1)
    assert counted.single_letters == ("a (line 1)", "b (line 1)")


def test_what_is_private_to_others_is_counted_also_in_texts_and_ones_own_is_not() -> None:
    source = "self@own = other@theirs\nrun('panel@x = 1')\nos@exit(0)\na@repr_html_()\na@_class__\nself.b@c\n"
    assert language.private_accesses(source.replace("@", "._")) == ["_theirs (line 1)", "_x (line 2)", "_c (line 6)"]


def test_modules_that_import_one_another_are_a_circle_also_lazily() -> None:
    modules = {"p.a": "from p import b\n", "p.b": "def f():\n    import p.a\n", "p.c": "import p.a\n"}
    assert language.import_circles(modules) == [["p.a", "p.b"]]
