"""The robot agent: takes jobs from Botswain and runs their scripts. Standard library only, Python ≥ 3.9.

It ships as one file, `robot.pyz` (see build.py), and knows the server by HTTP alone.
"""
