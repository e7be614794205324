import os

import lit.formats

config.name = "ebru"
config.test_format = lit.formats.ShTest(True)
config.suffixes = [".ir", ".json", ".test"]
config.excludes = ["Inputs"]
config.test_source_root = os.path.dirname(__file__)
config.environment["PATH"] = os.pathsep.join([os.path.dirname(config.ebru), config.filecheck_dir, os.environ["PATH"]])
config.environment["LC_ALL"] = "C.UTF-8"
config.environment["EBRU_CACHE_DIR"] = "/nonexistent"  # not the user's tuning records
config.substitutions.append(("%models", os.path.join(config.source, "models")))
config.substitutions.append(("%goldens", os.path.join(config.source, "tests", "goldens")))
config.substitutions.append(("%build", config.build))
config.substitutions.append(("%source", config.source))
if config.hostile:  # tables and parts of another size than those that a test may name
    config.available_features.add("hostile")
