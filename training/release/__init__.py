"""The test set of a release: photos and sentences that training, and the choice between trainings, never see.

Everything else that is held out has been looked at many times to choose a recipe. What is in this folder was committed
before the training of revision 8 began, is read by nothing outside of it, and is used once for each release: who looks
at the figures and trains again needs a new set.
"""
