"use strict";
(function () {
  var query = location.search.slice(1), fragment = location.hash.slice(1), form = document.forms[0];
  // What has no state of ours is taken from nobody but the person, who needs the address for it.
  if (!fragment || !/(^|&)state=[\w-]{43}(&|$)/.test(query + "&" + fragment)) return;
  history.replaceState(null, "", location.pathname);
  form.elements.query.value = query;
  form.elements.fragment.value = fragment;
  form.submit();
})();
