"""One file a page; each has `show`. Not called `pages`: Streamlit would run the files of such a folder by itself."""
