"""How a section of pericia.yaml is written: pydantic fields that say their unit and the reason for their default."""

from typing import Any, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, model_validator


def knob(default: Any, why: str, *, unit: str = "", **limits: Any) -> Any:
    """Return a pydantic field that says its unit and the reason for its default."""
    return Field(default, description=why, json_schema_extra={"unit": unit}, **limits)


def is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _an_empty_section_has_defaults(cls, data: Any) -> Any:
        """Read `retrieval:` with nothing but comments below it, which YAML gives as null."""
        if not isinstance(data, dict):
            return data
        sections = {
            name for name, field in cls.model_fields.items() if is_section(field.annotation)
        }
        return {
            key: {} if key in sections and value is None else value for key, value in data.items()
        }
