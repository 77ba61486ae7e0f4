"""What the bundled model makes of real text: `python -m benchmarks.nano_real_reading FOLDER_WITH_TATQA_DEV [COUNT]`.

Takes the TAT-QA dev questions whose one answer is a span of a paragraph, gives the model the report's paragraphs as
passages, at most five of them, and counts answers that are the span, hold it, share a word with it, or decline.
"""

import json
import sys
from pathlib import Path

from pericia.lab.measure import Reader, split_citation
from pericia.lab.nano import MODEL_FOLDER
from pericia.prompts import INSTRUCTION, OPEN_BOOK, is_refusal, open_book_question
from pericia.types import Message


def main() -> None:
    reports = json.loads((Path(sys.argv[1]) / "tatqa_dataset_dev.json").read_text())
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    cases = []
    for report in reports:
        texts = [paragraph["text"] for paragraph in report["paragraphs"]][:5]
        for question in report["questions"]:
            answer = question["answer"]
            spans = (
                isinstance(answer, list) and len(answer) == 1 and question["answer_type"] == "span"
            )
            if spans and question["answer_from"] == "text" and sum(map(len, texts)) < 4000:
                cases.append((question["question"], answer[0], texts))
    cases = cases[:count]
    reader = Reader(MODEL_FOLDER)
    counts = {"exact": 0, "holds": 0, "shares a word": 0, "declines": 0}
    system = Message("system", OPEN_BOOK.format(instruction=INSTRUCTION))
    for question, answer, texts in cases:
        user = Message("user", open_book_question(question, texts))
        reply, _ = split_citation(reader.answer([[system, user]])[0])
        counts["exact"] += reply.casefold() == answer.casefold()
        counts["holds"] += answer.casefold() in reply.casefold()
        counts["shares a word"] += bool(
            set(reply.casefold().split()) & set(answer.casefold().split())
        )
        counts["declines"] += is_refusal(reply)
    print(f"{len(cases)} questions: {counts}")


if __name__ == "__main__":
    main()
