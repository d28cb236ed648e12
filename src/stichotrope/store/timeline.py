"""Timelines of processes that keep one in a store: of those that live, and of those that did.

A timeline is a `stichotrope.results.timeline.Timeline`, wherever it comes from. It is columns of
one value a pass, and lists of what the columns name:

* ``starts``, ``durations``: ``array("q")``, ns; starts count from ``start_ns``, since the epoch
* ``blocks``: ``array("I")``, places in ``block_list``: each has ``name``, ``track_idx``,
  ``track_name``, ``file``, ``line``
* ``threads``: ``array("I")``, places in ``thread_list``: ``key``, ``os_id``, ``name``, ``alive``,
  ``passes``, ``lost``
* ``lanes``: ``array("I")``, places in ``lane_list``: ``thread`` (a place in ``thread_list``),
  ``kind`` ("thread", "tasks", "generators", "crossing"), ``number`` (from 1 on for each kind of a
  thread). In a lane a pass lies wholly within the one below it, or wholly beside it.
* ``depths``: ``array("I")``, in how many passes one lies in its lane; 0 for the outermost
* ``strands``: ``array("I")``, equal for what one task, greenlet, generator, or thread itself ran
* ``outcomes``: ``array("B")``, how a pass ended: 0 by return, 1 by an exception, 2 cancelled
* ``tags``: ``array("Q")``, 0 for none; ``tag_of(i)`` gives an int, a text, or None

The passes are in the order in which they began; of those that began together, the one first that
the others lie in. So one walk over the columns, with a stack a lane, is all that drawing takes.
``timeline[i]``, and going over it, give objects instead, which takes longer.
"""
