"""Arrays [n] in a file without a name, which vanishes with the process however that ends."""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from jaxad._check import InputError

_MEND = "set TMPDIR to a folder with more room"


class Stored:
    """An array [n] in a scratch file; each slice of it is read when it is asked for."""

    def __init__(self, file: Any, offset: int, array: Shaped[np.ndarray, " n"]) -> None:
        self._file, self._offset, self._size, self._dtype = file, offset, array.size, array.dtype

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> Shaped[np.ndarray, " k"]:
        start, stop, _ = part.indices(self._size)
        found = np.empty(max(0, stop - start), self._dtype)
        self._file.seek(self._offset + start * self._dtype.itemsize)
        if self._file.readinto(found) != found.nbytes:
            raise OSError("the scratch file of the pixel metrics has lost its end")
        return found


class Scratch:
    """A file for arrays that memory should not hold, in the system's folder for temporary files unless told.

    It is made when it is first written to, and takes the disk's room until it is closed or the process ends.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._chosen, self._end = folder, 0
        self._file: Any = None

    @property
    def folder(self) -> str:
        """Where the file is or would be."""
        try:
            return str(self._chosen or tempfile.gettempdir())
        except OSError:
            raise InputError(f"pixel metrics need a folder for temporary files, and there is none; {_MEND}") from None

    def need_room(self, size: int) -> None:
        """Refuse what needs `size` bytes more than there were before, where the disk has fewer."""
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise InputError(f"the scratch folder {self.folder!r} cannot be used: {error.strerror}; {_MEND}") from None
        if size > free:
            raise InputError(
                f"pixel metrics need {size / 1e9:.3g} GB in the scratch folder {self.folder!r}, which has "
                f"{free / 1e9:.3g} GB left; {_MEND}"
            )

    def store(self, array: Shaped[np.ndarray, " n"]) -> Stored:
        """Write an array [n] behind the others.

        Raises:
          InputError: it cannot be written.
        """
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="jaxad-", dir=self.folder)  # noqa: SIM115
            stored = Stored(self._file, self._end, array)
            self._file.seek(self._end)
            self._file.write(array)
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"sorted scores cannot be written to the scratch folder {self.folder!r}, after {self._end / 1e9:.3g} "
                f"GB of them: {error.strerror}; {_MEND}"
            ) from None
        self._end += array.nbytes
        return stored

    def close(self) -> None:
        """Give the disk's room back; what was stored can no longer be read."""
        if self._file is not None:
            # What a full disk refused is tried once more here, and missed by nobody.
            with contextlib.suppress(OSError):
                self._file.close()
