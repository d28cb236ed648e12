"""The texts that prompts are filled into: what all have, and what is to be done in each state."""

from __future__ import annotations

HEAD = """\
# {feature}: {headline}

> **State**: `{state}` · **next**: {next} · **approved**: {approved} of {total}

This prompt was made from the files of the plan as they are now. Where it and the files disagree,
the files are right: read them again before you begin, and make the prompt anew after each change.

## 1. Where things stand

| what | value |
| --- | --- |
| plan | `{plan_path}`, {plan_lines} lines |
| status | {status} |
| priority | {priority} |
| created | {created} |
| estimated effort | {effort} |
| next achievement | {next} |
| where the plan speaks of it | {place} |
| subplan | {subplan} |
| execution tasks | {tasks} |
| feedback | {feedback} |
"""

TAIL = """\
## 8. How the files are named and kept

- `plans/{feature}/PLAN_{feature}.md` is the plan. Its header has Status, Created, Goal, Priority
  and Estimated Effort; its achievements are lines such as `**Achievement 1.1**: title`.
- `subplans/SUBPLAN_{feature}_NN.md` says how achievement NN is reached. NN is the achievement's
  number without its dot: {example_number} is {example_code}.
- `execution/EXECUTION_TASK_{feature}_NN_MM.md` is the log of the MM-th execution of that subplan,
  counted from 01 for each subplan.
- `execution/feedbacks/APPROVED_NN.md` says that achievement NN is reached, and
  `execution/feedbacks/FIX_NN.md` what is missing. Where there are both, APPROVED counts.
- A status is the first word after `**Status**:` in the header: Planning, In Progress or Complete.
- Nothing else tells the state. There is no list to be kept up to date beside the files themselves.

| state | what the files have |
| --- | --- |
| `no_subplan` | no subplan |
| `subplan_no_execution` | a subplan, and no execution task |
| `active_execution` | an execution task that is not complete |
| `subplan_all_executed` | all execution tasks complete, and the subplan not |
| `subplan_complete` | the subplan complete as well, and no feedback |
| `needs_fix` | FIX, and no APPROVED |
| `plan_complete` | APPROVED for every achievement, or a plan whose status is Complete |

## 9. Rules

1. Work on one achievement at a time, and on no other than the one that is named above.
2. Read a file before you change it; keep what is not yours to change.
3. Write down what you do while you do it, in the execution task, not from memory afterwards.
4. Keep to the scope of the achievement. What else you find goes into the handoff as an observation.
5. Say what you have measured and how; a figure without its command is not a figure.
6. A file is written whole. A half-written file has a state too, and it is the wrong one.
7. Never change the number of an achievement, nor the name of a file that exists.
8. When two files disagree, say so and stop; do not choose.

## 10. Before you say that it is done

- [ ] The file that this step asks for is there, under the right name and in the right directory.
- [ ] Its header has a Status, and the status is true.
- [ ] What was promised in the subplan was done, or it says why not.
- [ ] What was run is written down: the command, what came out, and what was expected.
- [ ] The tests that belong to the change were run, and they pass.
- [ ] Nothing that belongs to another achievement was changed.
- [ ] The handoff names what is next, by its number.
- [ ] Making this prompt again gives the next state, not this one.

## 11. What to hand over

1. Which files were made and which were changed, each with one sentence.
2. What was learned that the next step needs to know.
3. What is open, with the number of the achievement that it belongs to.
4. How long it took, beside the estimate in the plan's header.
"""

HEADLINES = {
    "needs_fix": "fix achievement {number}",
    "no_subplan": "write the subplan of achievement {number}",
    "subplan_no_execution": "begin to execute achievement {number}",
    "active_execution": "go on executing achievement {number}",
    "subplan_all_executed": "conclude the subplan of achievement {number}",
    "subplan_complete": "review achievement {number}",
    "plan_complete": "close the plan",
}

STEPS = {
    "needs_fix": """\
The reviewer did not approve achievement {number}, {title}. `{fix_path}` says what is missing.

1. Read the whole feedback, not only what is quoted in section 5. List its points.
2. For each point, find the place in the subplan and in the executions where it was to be done.
3. Make a new execution task, `{new_task}`: fixes are executions too.
4. Deal with the points one after the other, the one that others depend on first.
5. After each point run what the feedback says failed, and write down what it says now.
6. Do not argue with a point inside the fix. If it is wrong, say why in the execution task, with the
   evidence, and leave the rest of the work as it is.
7. Do not touch what the feedback did not name, however tempting.
8. When all points are dealt with, set the new task's status to Complete.
9. Answer each point in one line at the end of the task: what was changed, and where.
10. Ask for the review again. An approval becomes `{approved_path}`, and counts from then on; the
    FIX stays where it is.
""",
    "no_subplan": """\
Nothing has been written yet on how to reach achievement {number}, {title}.

1. Read what the plan says of the achievement, from {place} on, to its end.
2. Read the achievements before it: what they have left is what there is to build on.
3. Write `{subplan_path}`, with a header that has Status: Planning.
4. Begin with the objective: one sentence that can be found true or false at the end.
5. Say what will be made: each file, and what is in it.
6. Describe the approach: the order of the steps, and why it is this one.
7. Say how it will be tested: which cases, with which values, and what would show a mistake.
8. Say what is expected to be hard, and what is done when it turns out to be harder.
9. Say how many executions are expected. One is usual; two, when there is something to compare.
10. Do not begin to execute. The subplan is read before that, and cheap to change until then.
""",
    "subplan_no_execution": """\
The subplan of achievement {number}, {title}, is written, and nobody has begun to execute it.

1. Read `{subplan_path}` from start to end.
2. Make `{new_task}`, with a header that has Status: In Progress.
3. Copy the objective of the subplan into it, word for word.
4. Write the tests first, as the subplan describes them, and see them fail for the right reason.
5. Then take one step of the approach at a time, and note each as an iteration: what was tried,
   what came out, what follows from it.
6. After every third iteration look back: is this still the way that the subplan describes?
7. If it is not, stop and say so in the task; a subplan is changed before it is left.
8. Keep the task below 200 lines. What is longer was two tasks.
9. When the objective is reached, set the task's status to Complete.
10. Note what was learned: on the code, on the way of working, and on the estimate.
""",
    "active_execution": """\
Achievement {number}, {title}, is being executed: {open_tasks} not complete.

1. Read `{open_task}` to its last iteration. It says where to go on.
2. Run the tests as they are now, before any change, and compare with what the task says last.
3. If they differ, find out why first; somebody else may have changed something.
4. Take the next step of the subplan's approach, and note it as the next iteration.
5. Note what was tried even where it did not work: the next one will be tempted as well.
6. After every third iteration look back: is this still the way that the subplan describes?
7. When the same thing has failed three times, stop. Describe it, and what would have to be known.
8. Do not begin another task of this subplan while this one is open.
9. When the objective is reached, set the task's status to Complete.
10. Note what was learned: on the code, on the way of working, and on the estimate.
""",
    "subplan_all_executed": """\
Every execution of achievement {number}, {title}, is complete, and its subplan is not.

1. Read all execution tasks of the subplan: {task_names}.
2. Compare what they made with what the subplan promised, file by file.
3. What is missing needs another execution: make `{new_task}`, and stop here.
4. Run all tests of the achievement once more, together, from a clean state.
5. Where there were several executions, compare them: what each found, which way was kept, and why.
6. Write the synthesis into `{subplan_path}`: what was reached, what was learned, what is open.
7. Correct the estimate: what was expected, and what it took.
8. Set the subplan's status to Complete. It says that the work is done, not that it is approved.
9. Move what was learned, and is true beyond this achievement, into the plan's handoff.
10. Ask for the review.
""",
    "subplan_complete": """\
The work on achievement {number}, {title}, is said to be complete. It is to be reviewed.

1. Read what the plan promises, from {place} on, before you read what was done.
2. Read `{subplan_path}`, and then its executions: {task_names}.
3. Open each file that was to be made. It is there, it is whole, and it does what the plan says.
4. Run the tests yourself. What somebody wrote that they ran is a claim.
5. Look for what was not tested: the empty case, the largest, the one that fails half-way.
6. Look for what was promised and not mentioned again.
7. If all is there, write `{approved_path}`: what was looked at, what was run, what came out.
8. If not, write `{fix_path}`: each point with its place, what is wrong, and how to see it.
9. Approve or do not; there is nothing between. One small thing that is missing is a FIX as well.
10. Then set the plan's handoff to the achievement that is next.
""",
    "plan_complete": """\
Nothing in this plan is left to be done: {why_complete}. It is to be closed.

1. Go through the achievements once more, from the first to the last, with their approvals.
2. Run all tests of the plan together, from a clean state, and note what they say.
3. Set the plan's status to Complete, if it is not.
4. Write into the handoff what was reached, beside what the goal in section 2 says.
5. List what was left out and why. Achievements that nobody needed are a result too.
6. Collect what was learned, from the execution tasks, and keep what is true beyond this plan.
7. Compare the effort with the estimate, and say what made the difference.
8. Move the directory to the archive location that the plan names, as a whole, without renaming.
9. Search the other plans for this one's name; what depended on it may go on now.
10. Remove nothing. A plan that is closed is read more often than one that is open.
""",
}
