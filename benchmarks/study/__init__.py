"""The tutorial's open questions as a study: priors, tasks and shifts, measured alike.

    python -m benchmarks.study --data ../shared/data           # from the repository; continues where it stopped
    python -m benchmarks.study --page                          # docs/study.md from the results that are kept here

What is measured is in :mod:`plan`, in order of what it tells; the page says the rest.
"""
