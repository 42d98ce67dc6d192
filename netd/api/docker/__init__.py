"""Docker's words: requests decoded into `netd.model`, its values encoded into answers.

The only place that knows Docker's field names.
"""
