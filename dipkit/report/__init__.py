"""What a person looks at: plots and pages.

Begin with `plots.py`. The figures of a search are in `dipkit.search.study_report`.
"""
