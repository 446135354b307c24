"""An Airflow DAG that appends one slice per day.

Tasks may run again, on any worker, at any time: a day that is in the cube already is compared and
skipped. Two runs at once take turns. A worker that is killed leaves the old cube or the new one.
"""

from datetime import UTC, datetime, timedelta

from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task  # Airflow 2: from airflow.decorators

TARGET = "s3://bucket/sst.zarr"
SLICES = "s3://bucket/slices"


@task(retries=5, retry_delay=timedelta(minutes=10))
def append_day(target: str, slices: str, ds: str | None = None) -> int:
    """Append the slice of a day, such as ``2024-06-01.zarr``, and return the length of the cube.

    Args:
        target: URI of the cube.
        slices: URI of the folder with the slices.
        ds: The day; Airflow fills it in.

    Raises:
        AirflowFailException: Running again does not help; the slice or the settings must change.
        ZapzError: Storage failed, or another run holds the cube. Airflow runs the task again.
    """
    import zapz

    try:
        # Waits up to an hour for a slice that is not complete, and ten minutes for another run.
        report = zapz.append(target, f"{slices}/{ds}.zarr", slice_polling={"timeout": 3600.0}, lock_wait=600)
    except (zapz.ConfigError, zapz.SliceError, zapz.FormatError, zapz.ChunkError) as error:
        raise AirflowFailException(f"exit code {error.exit_code}: {error}") from error
    return report.length


@dag(
    schedule="@daily",
    start_date=datetime(2024, 6, 1, tzinfo=UTC),
    catchup=True,
    max_active_runs=1,  # one day after another: a day before the last one would be refused
)
def grow_sst() -> None:
    """Append each day to the cube."""
    append_day(TARGET, SLICES)


grow_sst()
