"""Settings that promise no more than others keep."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.mesh.deadline import MAX_CALL_SECONDS
from services.mesh.server import ServiceSpec
from services.retriever.settings import RetrieverSettings


def test_the_guard_is_given_no_more_time_than_its_calls_get(tmp_path: Path) -> None:
    assert ServiceSpec.__dataclass_fields__["max_deadline"].default == MAX_CALL_SECONDS

    def made(seconds: float) -> RetrieverSettings:
        return RetrieverSettings(run_dir=tmp_path, data_dir=tmp_path, retriever_guard_seconds=seconds)

    assert made(MAX_CALL_SECONDS).retriever_guard_seconds == MAX_CALL_SECONDS
    with pytest.raises(ValidationError, match="retriever_guard_seconds"):
        made(MAX_CALL_SECONDS + 1)
