"""Hurting a cluster, and judging by the jobs' histories whether it kept its word."""
