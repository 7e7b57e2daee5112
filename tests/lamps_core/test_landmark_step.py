from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lamps_core import landmark_step, pretrained
from lamps_core.checkpoint import newest_checkpoint
from lamps_core.curves import SCHEMA
from lamps_core.errors import CandidateFailed
from lamps_core.landmark_step import CandidateRun, checkpoint_folder
from lamps_core.settings import FineTuningSettings
from lamps_core.steps import ExportRequest
from lamps_core.text_data import DatasetRequest, load_text_dataset

from .conftest import SETTINGS, Topics, prepare

if TYPE_CHECKING:
    from collections.abc import Callable
