"""The suite of every store of truth, and of the index beside it, over a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.retriever.postgres.truth import PostgresTruth
from services.retriever.truth import Truth
from tests.real.postgres_fixture import Server, postgres
from tests.unit.retriever.test_retriever_followers import (
    test_a_change_stays_in_the_outbox_until_everybody_has_it,
    test_a_nonce_is_good_once,
    test_near_duplicates_are_linked_and_labels_hide_them,
    test_the_outbox_does_not_grow_without_an_end,
    test_what_is_known_of_a_source,
    test_who_was_away_for_long_is_not_waited_for,
)
from tests.unit.retriever.test_retriever_truth import (
    Opener,
    test_a_new_version_takes_the_place_of_the_old_one,
    test_a_second_process_is_kept_out_of_the_folder,
    test_a_version_is_current_once_it_is_committed,
    test_acked_changes_survive_a_new_process,
    test_deleting_takes_everything,
    test_former_versions_are_kept_to_a_number,
    test_ids_are_never_given_twice,
    test_labels_open_documents_to_holders_of_one,
    test_passages_are_stretches_of_the_canonical_text,
    test_quarantined_chunks_are_kept_and_never_seen,
    test_tenants_never_see_each_other,
    test_the_outbox_names_what_the_index_may_not_know,
    test_vectors_of_two_embedders_do_not_mix,
    test_what_fails_in_the_middle_leaves_nothing,
    truth,
)

__all__ = [
    "postgres",
    "test_a_change_stays_in_the_outbox_until_everybody_has_it",
    "test_a_new_version_takes_the_place_of_the_old_one",
    "test_a_nonce_is_good_once",
    "test_a_second_process_is_kept_out_of_the_folder",
    "test_a_version_is_current_once_it_is_committed",
    "test_acked_changes_survive_a_new_process",
    "test_deleting_takes_everything",
    "test_former_versions_are_kept_to_a_number",
    "test_ids_are_never_given_twice",
    "test_labels_open_documents_to_holders_of_one",
    "test_near_duplicates_are_linked_and_labels_hide_them",
    "test_passages_are_stretches_of_the_canonical_text",
    "test_quarantined_chunks_are_kept_and_never_seen",
    "test_tenants_never_see_each_other",
    "test_the_outbox_does_not_grow_without_an_end",
    "test_the_outbox_names_what_the_index_may_not_know",
    "test_vectors_of_two_embedders_do_not_mix",
    "test_what_fails_in_the_middle_leaves_nothing",
    "test_what_is_known_of_a_source",
    "test_who_was_away_for_long_is_not_waited_for",
    "truth",
]


@pytest.fixture
def opener(tmp_path: Path, postgres: Server) -> Opener:
    settings = postgres.settings(postgres.new_database())

    async def opened() -> Truth:
        made = PostgresTruth(tmp_path, settings)
        await made.open()
        return made

    return opened
