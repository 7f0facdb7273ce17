"""What all sections of the settings share: how a value is bounded, and that nothing unknown passes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Money = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
MoneyRatio = Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all sections: frozen, nothing unknown, nothing coerced but numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)
