"""Training's section of the report; what it shows is gathered in `pipelines/report/training.py`."""

from corpusmill.pipelines.report.sections import StageReport
from corpusmill.pipelines.report.training import training_section

REPORT = StageReport(values=training_section, template="corpusmill.pipelines.stages.train:section.html")
