"""Settings of health, as admins write them under `health:` and per server under `health:`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class HealthSettings(BaseModel):
    """`health:`"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interval: float = Field(30.0, ge=1, le=3600, description="seconds between two probes of a server")
    timeout: float = Field(10.0, gt=0, le=300, description="seconds one probe may take, cold starts included")
    rise: int = Field(2, ge=1, le=20, description="good probes in a row that bring a server up again")
    fall: int = Field(3, ge=1, le=20, description="bad probes in a row that take a server down")
    urgent_after: int = Field(3, ge=1, le=100, description="failed calls in a row that bring the next probe forward")
