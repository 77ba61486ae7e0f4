"""Write CasiMedicos as a Pericia workspace: multiple choice in Spanish and English, with explained cases to learn from.

    python -m benchmarks.casimedicos_workspace ../shared/data/casimedicos_train /tmp/casimedicos [QUESTIONS]
    pericia run /tmp/casimedicos/pericia.yaml

Three in five cases teach: each is an example and, with its explanation, a document. The others are asked, in both
languages. A family is a case with all that repeat its stem, in both languages, and never lies on both sides. No
document answers a held-out case: retrieval can bring only cases that are alike. The explanation of a held-out case
appears nowhere, because it often says the right number.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.workspaces import example, write_workspace
from pericia.similarity import grams, similar_pairs

SAME_STEM = 0.4  # Jaccard of runs of four words; cases repeat with small changes
INSTRUCTION = "Answer with the number of the right option only."


@dataclass(frozen=True)
class Case:
    specialty: str
    stem: str
    options: tuple[str, ...]
    right: int
    explanation: str

    @property
    def question(self) -> str:
        numbered = "\n".join(f"{n}) {text}" for n, text in enumerate(self.options, start=1))
        return f"{self.stem}\n{numbered}"


def main(source: Path, folder: Path, most: int | None) -> None:
    documents: dict[str, str] = {}
    examples: list[dict[str, Any]] = []
    questions: list[dict[str, Any]] = []
    cases = {
        language: list(read_cases(source / language / "train.tsv")) for language in ("EN", "ES")
    }
    families = family_of_each(cases["ES"])
    for language, listed in cases.items():
        for number, (case, family) in enumerate(zip(listed, families, strict=True)):
            name = f"{language.lower()}/case-{number:03d}.txt"
            if family % 5 < 3:
                documents[name] = (
                    f"{case.specialty}\n\n{case.question}\n\n{case.right}\n\n{case.explanation}\n"
                )
                examples.append(example(case.question, str(case.right), name))
            else:
                questions.append(
                    {
                        "id": f"{language.lower()}-{number:03d}",
                        "question": case.question,
                        "answers": [str(case.right)],
                        "family": f"case-{family:03d}",
                        "kind": language.lower(),
                    }
                )
    if most is not None:
        questions = questions[:: max(1, len(questions) // most)][:most]
    write_workspace(
        folder,
        documents,
        examples,
        questions,
        {
            "name": "casimedicos",
            "model": "quote",
            "instruction": INSTRUCTION,
            "use": {"goal": "the right option of exam questions", "data_change": "never"},
            "evaluate": {"score": "choice", "max_new_tokens": 16},
        },
    )


def read_cases(path: Path) -> Iterator[Case]:
    """Yield the cases of a file of one token a line; only the words themselves part one case from the next."""
    lines = path.read_text(encoding="utf-8").splitlines()
    text = " ".join(line.split()[0] for line in lines if line.strip())
    for part in text.split("QUESTION TYPE: ")[1:]:
        specialty, _, rest = part.partition(" CLINICAL CASE: ")
        asked, _, solved = rest.partition(" CORRECT ANSWER: ")
        stem, *options = re.split(r" (?=[1-5]- )", asked)
        texts = tuple(option[3:].strip() for option in options)
        number, _, explanation = solved.partition(" ")
        kept = tuple(option for option in texts if option.strip(" .") != "nan")
        yield Case(specialty, stem.strip(), kept, int(re.sub(r"\D", "", number)), explanation)


def family_of_each(cases: Sequence[Case]) -> list[int]:
    """Return the number of each case's family, that of its earliest case with nearly the same stem."""
    family = list(range(len(cases)))
    for i, j in similar_pairs([grams(case.stem, 4) for case in cases], SAME_STEM):
        first, second = family[i], family[j]
        family = [min(first, second) if f in (first, second) else f for f in family]
    return family


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
