"""Sherpa's task API: a facade of resources and queues with no rules of its own.

Sources: docs.sherparpa.ru, Sherpa Orchestrator, API: the pages "Task" and "Queue" with one page for each
call (methods, fields, answers), "Example of API Call in Python" (`queue_guid`, lastTask, update), Python
Sherpa Framework: "Working with Queues, Tasks, Resources, and Logs" (GUID or name); Sherpa Designer, blocks
"Get Task", "Get Task from Queue", "Modify Task" and "Remove Tags" (numbers of states, filters, priorities).
What these leave open is in docs/reference/sherpa-task-api.md.
"""
