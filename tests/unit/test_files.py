"""Files are read only so far as there is memory for them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_that_does_not_fit_into_memory_is_an_error_of_the_system(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.touch()
    code = f"""
import os, resource
from pathlib import Path
from service.files import read_file
os.truncate({str(file)!r}, 2**30)
resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
try:
    read_file(Path({str(file)!r}), 2**31)
except OSError as error:
    print(error.strerror)
"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout == "Its 1,073,741,824 bytes do not fit into memory\n"
