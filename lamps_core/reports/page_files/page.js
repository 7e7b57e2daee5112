// What a page does when it opens. Its data are JSON in the page itself; nothing is fetched.

const data = JSON.parse(document.getElementById("data").textContent);
startTheme();
startCopying();
const marks = startMarks((candidate, step) => describeCandidate(data, candidate, step));
if (data.candidates) startExplorer(data, marks);
