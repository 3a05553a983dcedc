"""The comparison of recurrent and time-delay networks: tasks, matched models, report.

From a shell: ``rnn-vs-tdnn run --quick --out report``, also ``python -m tdnn.compare``. From
Python:

>>> from tdnn.compare.settings import Settings
>>> Settings(tasks=("adding",), quick=True).plans()[0].task.name
'adding'

then ``tdnn.compare.run.compare(settings, out)`` trains and stores every run below the folder
``out``, and ``tdnn.compare.report.write_report(out)`` writes HTML, Markdown, CSV and JSON there.
"""
