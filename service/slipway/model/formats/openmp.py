"""Threads of OpenMP, which a library may start while it loads a model."""

from threadpoolctl import ThreadpoolController


def end_openmp_threads() -> None:
    """Loading XGBoost starts OpenMP threads. A fork does not copy them, and a forked child that wants them waits for
    ever.
    """
    for library in ThreadpoolController().lib_controllers:
        if library.user_api == "openmp" and hasattr(library.dynlib, "omp_pause_resource_all"):
            library.dynlib.omp_pause_resource_all(1)  # omp_pause_soft: threads start anew when they are wanted
