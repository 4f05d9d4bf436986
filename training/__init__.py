"""From-scratch training of the models that Triton serves: data, recipes, evaluation, export.

Importing this package puts `deploy/triton/lib` on the import path, because a model must be trained on exactly the text analysis
that serves it. Nothing here is imported by a service. Torch is needed by the recipes only, not by this package itself.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL_LIBRARY = ROOT / "deploy" / "triton" / "lib"
MODEL_REPOSITORY = ROOT / "deploy" / "triton" / "model_repository"
ANSWERER = MODEL_REPOSITORY / "answerer" / "1"
TOKENIZER = MODEL_REPOSITORY / "tokenizer" / "1" / "tokenizer.json"
RUNS = ROOT / "training" / "runs"

if str(MODEL_LIBRARY) not in sys.path:
    sys.path.insert(0, str(MODEL_LIBRARY))
