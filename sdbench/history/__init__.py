"""What earlier runs measured, and whether a new one is worse, and by which package: `sdbench history`. No torch.

record      one run, as it is kept
file        the append-only file of runs
comparing   a run against the last good one
thresholds  how much slower a timed loop may become
standing    which runs are good
text        the outcome in words
picture     one case or timed loop over all runs
package_sets, halving, environments, blame: which package of two sets of versions moved a case
command     `sdbench history add / show / compare / accept / blame`
announce    what people are told of a night: issues, summary, check
forge       the REST API with issues and checks, and a webhook
sync        a second copy, in a folder or on a branch
telling     `sdbench history announce / overdue / sync`
"""
