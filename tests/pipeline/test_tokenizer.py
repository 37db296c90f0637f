# ruff: noqa: RUF001
"""Our tokenizer against transformers', on prompts that people and accidents produce."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from pipeline.errors import PipelineError
from pipeline.networks.tokenizer import Tokenizer, words

FOLDER = Path(__file__).parents[2] / "checkpoints" / "micro" / "tokenizer"
OURS = Tokenizer.read(FOLDER)
THEIRS = CLIPTokenizer.from_pretrained(FOLDER)

ODD = [
    "",
    " ",
    "make it look like winter",
    "Make it LOOK like WINTER!!!",
    "  many   spaces\tand\nlines \r\n",
    "it's the dog's, they'll we've I'm you'd isn't we're 'tis ''s",
    "3 cats, 42 dogs & 1,000.5 birds²½Ⅷ",
    "naïve café Straße ΟΔΟΣ İstanbul ĲSSEL ǅ",
    "e\u0301 versus \u00e9, \u1e9b\u0323",
    "hindi नमस्ते, thai สวัสดี, arabic مرحبا, hebrew שלום",
    "日本の写真を冬にして 一二三",
    "😀👍🏽👨\u200d👩\u200d👧 🇩🇪",
    "zero\u200bwidth no\xa0break thin\u2009ideographic\u3000bom\ufeff nel\x85 unit\x1fsep",
    "<|endoftext|>",
    "before<|endoftext|>after <|STARTOFTEXT|> <|startoftext|>",
    "a<b>c</w> d</w>",
    "underscore_name snake__case -- --- ... ?!?!",
    "word " * 100,
    "x" * 500,
    "𝕱𝖆𝖓𝖈𝖞 ﬁne ①②③",
    "\x00\x01\x7f\ud7ff\ue000\ufffd",
    'quotes "double" ‘single’ “curly” don’t',
    "a'sb 'S 'LL 'Ve",
    "a<|ENDOFTEXT|>!! ?<|StartOfText|>x",
]


def theirs(prompt: str) -> list[int]:
    return THEIRS(prompt, padding="max_length", max_length=77, truncation=True).input_ids


@pytest.mark.parametrize("prompt", ODD)
def test_odd_prompts_get_the_librarys_numbers(prompt):
    assert OURS([prompt])[0].tolist() == theirs(prompt)


@pytest.mark.parametrize("prompt", ODD)
def test_words_that_are_not_read_are_told(prompt):
    unread, room = OURS.unread(prompt), OURS.length - 2
    read = prompt.rstrip().removesuffix(unread)
    assert OURS.encode(read) + OURS.encode(unread) == OURS.encode(prompt)
    assert len(OURS.encode(read)) <= room
    assert bool(unread) == (len(OURS.encode(prompt)) > room)


def test_a_prompt_of_as_many_words_as_fit_is_read_whole():
    fits = "Cat " * (OURS.length - 2)
    assert OURS.unread(fits) == ""
    assert OURS.unread(fits + "DOG, and\ta  bird ") == "DOG, and\ta  bird"


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cn", "Cs"]), max_size=60))  # letters that this Python knows
def test_any_text_gets_the_librarys_numbers(prompt):
    assert OURS([prompt])[0].tolist() == theirs(prompt)


def test_every_row_is_as_long_as_the_text_encoder_reads():
    assert OURS(ODD).shape == (len(ODD), 77)


def test_words_are_split_as_clip_was_trained():
    assert list(words("it's 2nd-best...")) == ["it", "'s", "2", "nd", "-", "best", "..."]


def test_a_single_tokenizer_file_is_read_too(tmp_path):
    THEIRS.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert OURS(ODD).equal(Tokenizer.read(tmp_path)(ODD))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(PipelineError, match="merges"):
        Tokenizer.read(tmp_path)
